<?php
// Turns a function into a webhook: HTTP, the signature, repeated and malformed requests. PHP alone, no packages.
declare(strict_types=1);

const OLDEST_S = 300;
const LARGEST_BYTES = 1_000_000;
const KEYS_REMEMBERED = 1000;
const UNVERIFIED =
    'WARNING: CALLBOT_WEBHOOK_SECRET is not set: nothing is verified, anybody can call this webhook.';

// `X-Callbot-Signature: t=…,v1=…`, HMAC-SHA256 of `t.body`, not older than five minutes.
function isSigned(string $body, string $header, string $secret): bool
{
    if (!preg_match('/^t=([0-9]{1,12}),v1=([0-9a-f]{64})$/D', $header, $parts)) {
        return false;
    }
    $signed = hash_hmac('sha256', "$parts[1].$body", $secret);
    return abs(time() - (int) $parts[1]) <= OLDEST_S && hash_equals($signed, $parts[2]);
}

// A request that comes again, with the same Idempotency-Key, gets the answer that it got before. PHP forgets all
// between two requests, so the answers are in a file; a real bot has a database.
function once(callable $answer, string $key, string $body): array
{
    $file = fopen(sys_get_temp_dir() . "/callbot-webhook-{$_SERVER['SERVER_PORT']}.json", 'c+');
    flock($file, LOCK_EX);
    $known = json_decode(stream_get_contents($file), true) ?? [];
    if ($key !== '' && isset($known["k$key"])) {
        return $known["k$key"];
    }
    $said = $answer(checked(json_decode($body, true, flags: JSON_THROW_ON_ERROR)));
    if ($key !== '') {
        $known["k$key"] = $said;
        ftruncate($file, 0);
        rewind($file);
        fwrite($file, json_encode(array_slice($known, -KEYS_REMEMBERED)));
    }
    return $said;
}

function checked(mixed $request): array
{
    if (!is_string($request['user_text']) || !array_is_list($request['history'])) {
        throw new TypeError('not a request');
    }
    array_walk($request['history'], fn(array $entry) => [strlen($entry['role']), strlen($entry['content'])]);
    return $request;
}

function replyTo(callable $answer, string $secret): array
{
    if ($_SERVER['REQUEST_URI'] !== '/bot') {
        return [404, ['error' => 'the webhook is at /bot']];
    }
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return [405, ['error' => 'the webhook is POST /bot']];
    }
    $body = (string) file_get_contents('php://input', length: LARGEST_BYTES + 1);
    if (strlen($body) > LARGEST_BYTES) {
        return [413, ['error' => 'this is too large']];
    }
    if ($secret !== '' && !isSigned($body, $_SERVER['HTTP_X_CALLBOT_SIGNATURE'] ?? '', $secret)) {
        return [401, ['error' => 'the signature is wrong']];
    }
    try {
        return [200, once($answer, $_SERVER['HTTP_IDEMPOTENCY_KEY'] ?? '', $body)];
    } catch (Throwable) {
        return [400, ['error' => 'this is not a webhook request']];
    }
}

// One request of the built-in server; checks signatures when CALLBOT_WEBHOOK_SECRET is set.
function serve(callable $answer): void
{
    ini_set('display_errors', '0');
    set_error_handler(fn(int $_, string $what) => throw new ErrorException($what));
    $secret = (string) getenv('CALLBOT_WEBHOOK_SECRET');
    if ($secret === '') {
        error_log(UNVERIFIED);
    }
    [$status, $fields] = replyTo($answer, $secret);
    http_response_code($status);
    header('Content-Type: application/json');
    if ($status === 405) {
        header('Allow: POST');
    }
    echo json_encode($fields);
}
