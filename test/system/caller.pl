# Calls a sidecar the way a Perl program does, with LWP. Prints one JSON line a call.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use HTTP::Request;
use JSON::PP;
use LWP::UserAgent;
use MIME::Base64 qw(encode_base64);

my ($base, $counted, $transfer) = @ARGV;

sub report {
    my ($call, $answer) = @_;
    my $body = $answer->content;
    # LWP undoes the chunks and keeps what there was of a coding here.
    my $coding = $answer->header('Client-Transfer-Encoding') // $answer->header('Transfer-Encoding');
    print encode_json({
        call => $call, status => $answer->code + 0, bytes => length $body, sha256 => sha256_hex($body),
        text64 => length $body < 10_000 ? encode_base64($body, '') : '',
        length => $answer->header('Content-Length'), coding => ref $coding ? $coding->[0] : $coding,
    }), "\n";
}

sub call {
    my ($call, $agent, $method, $url, $headers, $content) = @_;
    report($call, $agent->request(HTTP::Request->new($method, $url, $headers, $content)));
}

my $agent = LWP::UserAgent->new(timeout => 15);
call('get', $agent, GET => "$base/banking/accounts");
call('post', $agent, POST => "$base/banking/payments/credit-transfer", ['Content-Type' => 'application/json'], $transfer);
# Content that is made while it is sent has no length, so it is sent in chunks.
my $number = 0;
call('upload', $agent, PUT => "$base/echo/up", [], sub { $number < 80 ? chr($number++ % 251) x 65536 : '' });
call('download', $agent, GET => "$base/echo/bytes/20971520");
call('head', $agent, HEAD => "$base/echo/bytes/1000");
my $kept = LWP::UserAgent->new(timeout => 15, keep_alive => 1);
call('kept', $kept, GET => "$counted/banking/accounts") for 1 .. 2;
@LWP::Protocol::http::EXTRA_SOCK_OPTS = (HTTPVersion => '1.0', SendTE => 0);
my $old = LWP::UserAgent->new(timeout => 15);
call('http10', $old, GET => "$base/echo/bytes/100000?chunked=1");
