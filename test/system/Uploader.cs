using System;
using System.Net;

/// <summary>Uploads the way a .NET Framework program does: all of the body, then the response. Prints a status a line.</summary>
static class Uploader
{
    static void Main(string[] args)
    {
        for (var round = 0; round < int.Parse(args[3]); round++)
            Console.WriteLine(Upload(args[0], int.Parse(args[1]), args[2]));
    }

    static string Upload(string url, int size, string how)
    {
        var call = (HttpWebRequest)WebRequest.Create(url);
        call.Method = "POST";
        call.Proxy = null;
        call.Timeout = call.ReadWriteTimeout = 20000;
        call.KeepAlive = how.Contains("kept");
        call.AllowWriteStreamBuffering = false;
        call.ServicePoint.Expect100Continue = how.Contains("expect");
        if (how.Contains("chunks")) call.SendChunked = true;
        else call.ContentLength = size;
        try
        {
            using (var stream = call.GetRequestStream())
                for (var part = new byte[65536]; size > 0; size -= part.Length)
                    stream.Write(part, 0, Math.Min(size, part.Length));
            using (var response = (HttpWebResponse)call.GetResponse()) return ((int)response.StatusCode).ToString();
        }
        catch (WebException error)
        {
            var response = error.Response as HttpWebResponse;
            return response == null ? error.Status.ToString() : ((int)response.StatusCode).ToString();
        }
        catch (Exception error)
        {
            return error.GetType().Name;
        }
    }
}
