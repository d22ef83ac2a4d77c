using System;
using System.IO;
using System.Net;
using System.Security.Cryptography;
using System.Text;

/// <summary>Calls a sidecar the way a .NET Framework program does. Prints one JSON line a call.</summary>
static class Caller
{
    static void Main(string[] args)
    {
        var url = args[0];
        Report("get", Open(url + "/banking/accounts", "GET"));
        var post = Open(url + "/banking/payments/credit-transfer", "POST");
        post.ContentType = "application/json";
        using (var stream = post.GetRequestStream())
        {
            var body = Encoding.UTF8.GetBytes(args[2]);
            stream.Write(body, 0, body.Length);
        }
        Report("post", post);
        Report("upload", Upload(Open(url + "/echo/up", "PUT"), false));
        Report("expect", Upload(Open(url + "/echo/up", "PUT"), true));
        Report("download", Open(url + "/echo/bytes/20971520", "GET"));
        Report("head", Open(url + "/echo/bytes/1000", "HEAD"));
        for (var count = 0; count < 2; count++) Report("kept", Open(args[1] + "/banking/accounts", "GET"));
        var old = Open(url + "/echo/bytes/100000?chunked=1", "GET");
        old.ProtocolVersion = HttpVersion.Version10;
        Report("http10", old);
    }

    static HttpWebRequest Open(string url, string method)
    {
        var call = (HttpWebRequest)WebRequest.Create(url);
        call.Method = method;
        call.Proxy = null;
        call.Timeout = call.ReadWriteTimeout = 15000;
        return call;
    }

    static HttpWebRequest Upload(HttpWebRequest call, bool asking)
    {
        call.SendChunked = true;
        call.AllowWriteStreamBuffering = false;
        call.ServicePoint.Expect100Continue = asking;
        using (var stream = call.GetRequestStream())
        {
            var part = new byte[65536];
            for (var number = 0; number < 80; number++)
            {
                for (var index = 0; index < part.Length; index++) part[index] = (byte)(number % 251);
                stream.Write(part, 0, part.Length);
            }
        }
        return call;
    }

    static void Report(string name, HttpWebRequest call)
    {
        using (var response = (HttpWebResponse)call.GetResponse())
        using (var all = new MemoryStream())
        {
            using (var stream = response.GetResponseStream()) stream.CopyTo(all);
            var body = all.ToArray();
            var digest = BitConverter.ToString(SHA256.Create().ComputeHash(body)).Replace("-", "").ToLowerInvariant();
            Console.WriteLine("{{\"call\":\"{0}\",\"status\":{1},\"text64\":\"{2}\",\"bytes\":{3},\"sha256\":\"{4}\",\"length\":\"{5}\",\"coding\":\"{6}\"}}",
                name, (int)response.StatusCode, body.Length < 10000 ? Convert.ToBase64String(body) : "", body.Length, digest,
                response.Headers["Content-Length"], response.Headers["Transfer-Encoding"]);
        }
    }
}
