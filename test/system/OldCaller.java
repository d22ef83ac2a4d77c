import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;

/** Calls a sidecar the way a Java program of twenty years ago does. Prints one JSON line a call. */
public class OldCaller {
    public static void main(String[] args) throws Exception {
        String base = args[0];
        String counted = args[1];
        report("get", open(base + "/banking/accounts"));
        HttpURLConnection post = open(base + "/banking/payments/credit-transfer");
        post.setRequestProperty("Content-Type", "application/json");
        post.setDoOutput(true);
        try (OutputStream out = post.getOutputStream()) {
            out.write(args[2].getBytes(StandardCharsets.UTF_8));
        }
        report("post", post);
        report("upload", upload(open(base + "/echo/up")));
        HttpURLConnection asking = open(base + "/echo/up");
        asking.setRequestProperty("Expect", "100-continue");
        report("expect", upload(asking));
        report("download", open(base + "/echo/bytes/20971520"));
        HttpURLConnection head = open(base + "/echo/bytes/1000");
        head.setRequestMethod("HEAD");
        report("head", head);
        report("kept", open(counted + "/banking/accounts"));
        report("kept", open(counted + "/banking/accounts"));
    }

    private static HttpURLConnection open(String url) throws IOException {
        HttpURLConnection call = (HttpURLConnection) new URL(url).openConnection(java.net.Proxy.NO_PROXY);
        call.setConnectTimeout(5_000);
        call.setReadTimeout(15_000);
        return call;
    }

    private static HttpURLConnection upload(HttpURLConnection call) throws IOException {
        call.setRequestMethod("PUT");
        call.setDoOutput(true);
        call.setChunkedStreamingMode(0);
        try (OutputStream out = call.getOutputStream()) {
            for (int number = 0; number < 80; number++) {
                byte[] part = new byte[65536];
                java.util.Arrays.fill(part, (byte) (number % 251));
                out.write(part);
            }
        }
        return call;
    }

    private static void report(String name, HttpURLConnection call) throws Exception {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        // Read to its end, or the connection is not kept.
        try (InputStream in = call.getResponseCode() < 400 ? call.getInputStream() : call.getErrorStream()) {
            byte[] part = new byte[65536];
            for (int count; (count = in.read(part)) > 0; ) all.write(part, 0, count);
        }
        byte[] body = all.toByteArray();
        StringBuilder digest = new StringBuilder();
        for (byte one : MessageDigest.getInstance("SHA-256").digest(body)) digest.append(String.format("%02x", one));
        String text = body.length < 10_000 ? Base64.getEncoder().encodeToString(body) : "";
        String length = call.getHeaderField("Content-Length");
        System.out.printf("{\"call\":\"%s\",\"status\":%d,\"text64\":\"%s\",\"bytes\":%d,\"sha256\":\"%s\",\"length\":\"%s\"}%n",
            name, call.getResponseCode(), text, body.length, digest, length == null ? "" : length);
    }
}
