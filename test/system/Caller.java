import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;

/** Calls a sidecar the way a Java program does, with the JDK's own client. Prints one JSON line a call. */
public class Caller {
    private static String base;

    public static void main(String[] args) throws Exception {
        base = args[0];
        String counted = args[1];
        String transfer = args[2];
        send("get", HttpClient.newHttpClient(), request(base, "/banking/accounts").GET());
        send("post", HttpClient.newHttpClient(), request(base, "/banking/payments/credit-transfer")
            .header("Content-Type", "application/json").POST(BodyPublishers.ofString(transfer)));
        byte[] upload = new byte[80 * 65536];
        for (int index = 0; index < upload.length; index++) upload[index] = (byte) (index / 65536 % 251);
        // A stream without a length is sent in chunks.
        send("upload", HttpClient.newHttpClient(), request(base, "/echo/up")
            .PUT(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(upload))));
        send("download", HttpClient.newHttpClient(), request(base, "/echo/bytes/20971520").GET());
        send("head", HttpClient.newHttpClient(), request(base, "/echo/bytes/1000")
            .method("HEAD", BodyPublishers.noBody()));
        HttpClient kept = HttpClient.newHttpClient();
        send("kept", kept, request(counted, "/banking/accounts").GET());
        send("kept", kept, request(counted, "/banking/accounts").GET());
        oldVersion();
        System.exit(0);
    }

    private static HttpRequest.Builder request(String origin, String path) {
        return HttpRequest.newBuilder(URI.create(origin + path)).timeout(Duration.ofSeconds(15));
    }

    private static void send(String call, HttpClient client, HttpRequest.Builder request) throws Exception {
        HttpResponse<byte[]> answer = client.send(request.build(), BodyHandlers.ofByteArray());
        report(call, answer.statusCode(), answer.body(), answer.headers().firstValue("Content-Length").orElse(""), "");
    }

    /** The JDK's client speaks no HTTP/1.0, so this is a bare socket. */
    private static void oldVersion() throws Exception {
        URI uri = URI.create(base);
        try (Socket socket = new Socket(uri.getHost(), uri.getPort())) {
            String head = "GET /echo/bytes/100000?chunked=1 HTTP/1.0\r\nHost: " + uri.getAuthority() + "\r\n\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
            InputStream in = socket.getInputStream();
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            in.transferTo(all);
            String text = all.toString(StandardCharsets.ISO_8859_1);
            int end = text.indexOf("\r\n\r\n");
            String coding = text.substring(0, end).toLowerCase().contains("transfer-encoding") ? "chunked" : "";
            byte[] body = text.substring(end + 4).getBytes(StandardCharsets.ISO_8859_1);
            report("http10", Integer.parseInt(text.substring(9, 12)), body, "", coding);
        }
    }

    private static void report(String call, int status, byte[] body, String length, String coding) throws Exception {
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        String text = body.length < 10_000 ? Base64.getEncoder().encodeToString(body) : "";
        System.out.printf("{\"call\":\"%s\",\"status\":%d,\"text64\":\"%s\",\"bytes\":%d,\"sha256\":\"%s\","
            + "\"length\":\"%s\",\"coding\":\"%s\"}%n", call, status, text, body.length, digest, length, coding);
    }
}
