<?php
// Calls a sidecar the way a PHP program does, with the curl extension. Prints one JSON line a call.
[, $base, $counted, $transfer] = $argv;

function report(string $call, int $status, string $body, array $headers): void
{
    echo json_encode([
        'call' => $call,
        'status' => $status,
        'text64' => strlen($body) < 10_000 ? base64_encode($body) : '',
        'bytes' => strlen($body),
        'sha256' => hash('sha256', $body),
        'length' => $headers['content-length'] ?? null,
        'coding' => $headers['transfer-encoding'] ?? null,
    ]), "\n";
}

function send(string $call, string $url, array $options = [], ?CurlHandle $handle = null): void
{
    $headers = [];
    $handle ??= curl_init();
    curl_setopt_array($handle, $options + [
        CURLOPT_URL => $url,
        CURLOPT_PROXY => '',
        CURLOPT_TIMEOUT => 15,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HEADERFUNCTION => function ($handle, $line) use (&$headers) {
            $parts = explode(':', $line, 2);
            if (count($parts) === 2) $headers[strtolower($parts[0])] = trim($parts[1]);
            return strlen($line);
        },
    ]);
    $body = curl_exec($handle);
    if ($body === false) throw new RuntimeException("$call: " . curl_error($handle));
    report($call, curl_getinfo($handle, CURLINFO_RESPONSE_CODE), $body, $headers);
}

/** Without CURLOPT_INFILESIZE it is sent in chunks. */
function upload(): array
{
    $number = 0;
    return [CURLOPT_UPLOAD => true, CURLOPT_READFUNCTION => function ($handle, $stream, $length) use (&$number) {
        static $left = '';
        if ($left === '' && $number < 80) $left = str_repeat(chr($number++ % 251), 65536);
        $part = substr($left, 0, $length);
        $left = substr($left, $length);
        return $part;
    }];
}

send('get', "$base/banking/accounts");
$json = [CURLOPT_POSTFIELDS => $transfer, CURLOPT_HTTPHEADER => ['Content-Type: application/json']];
send('post', "$base/banking/payments/credit-transfer", $json);
send('upload', "$base/echo/up", [CURLOPT_HTTPHEADER => ['Expect:']] + upload());
send('expect', "$base/echo/up", [CURLOPT_HTTPHEADER => ['Expect: 100-continue']] + upload());
send('download', "$base/echo/bytes/20971520");
send('head', "$base/echo/bytes/1000", [CURLOPT_NOBODY => true]);
$kept = curl_init();
send('kept', "$counted/banking/accounts", [], $kept);
send('kept', "$counted/banking/accounts", [], $kept);
send('http10', "$base/echo/bytes/100000?chunked=1", [CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_0]);
