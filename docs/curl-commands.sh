#!/usr/bin/env bash
# Every endpoint of the API with curl, from sign-up to deletion. Stops at the first answer that is not the
# documented one.
#
#   docs/curl-commands.sh                             # against `callbot up` on this machine
#   BASE=https://callbot.example TOKEN=eyJ… docs/curl-commands.sh
#
# It needs room for one more bot. Without TOKEN it takes three of the thirty attempts to sign up or in that an
# address has in a quarter of an hour.
#
# BASE     where the platform is                        http://127.0.0.1:8080
# TOKEN    an access token or API key                   (absent: a new user is signed up)
# WEBHOOK  your webhook; BASE must be able to reach it  (absent: one is started here, with python3)
# TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER_SID
#          a Twilio number, or the emulator's           (absent: connecting a number is left out)
# shellcheck disable=SC2016  # The commands are shown with the names of the variables.
set -euo pipefail

BASE=${BASE:-http://127.0.0.1:8080}
TOKEN=${TOKEN:-}
WEBHOOK=${WEBHOOK:-}
WORK=$(mktemp -d)
AUTH=()
LISTENER=
trap '[ -z "$LISTENER" ] || kill "$LISTENER"; rm -rf "$WORK"' EXIT

section() { printf '\n== %s\n' "$*"; }
left_out() { printf '\n!! LEFT OUT: %s\n' "$*" >&2; }

# As one would type them.
quoted() {
  local word
  for word; do
    case $word in
      *[!A-Za-z0-9_./:=-]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
}

# expect STATUS[|STATUS…] METHOD PATH [curl's arguments]: shows the command and the answer, keeps the body in BODY.
expect() {
  local wanted=$1 method=$2 path=$3 status
  shift 3
  printf '\n$ curl -X %s "$BASE%s"' "$method" "$path"
  [ ${#AUTH[@]} -eq 0 ] || printf ' -H "Authorization: Bearer $TOKEN"'
  quoted "$@"
  status=$(curl --silent --show-error --max-time 20 -X "$method" "$BASE$path" ${AUTH[@]+"${AUTH[@]}"} "$@" \
    --dump-header "$WORK/headers" --output "$WORK/body" --write-out '%{http_code}') || status="$status (curl: $?)"
  BODY=$(cat "$WORK/body" 2>/dev/null || true)
  printf '\n%s %s\n' "$status" "${BODY:0:1500}"
  rm -f "$WORK/body"
  case "|$wanted|" in
    *"|$status|"*) ;;
    *) printf '\nFAILED: %s %s answered %s instead of %s\n' "$method" "$path" "$status" "$wanted" >&2; exit 1 ;;
  esac
}

# field NAME: the first text or number of this name in the last answer.
field() { printf '%s' "$BODY" | sed -n "s/^[^\"]*.*[{,] *\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
header() { tr -d '\r' <"$WORK/headers" | sed -n "s/^$1: //Ip" | head -n 1; }
contains() {
  case "$BODY" in *"$1"*) ;; *) printf '\nFAILED: the answer does not contain %s\n' "$1" >&2; exit 1 ;; esac
}
# as METHOD… with the token; json METHOD… also with a JSON body.
as() {
  AUTH=(-H "Authorization: Bearer $TOKEN")
  expect "$@"
  AUTH=()
}
json() { as "$1" "$2" "$3" -H 'Content-Type: application/json' -d "$4" "${@:5}"; }

# One sentence for every request; prints the port that it got.
WEBHOOK_PROGRAM='
import http.server, json
class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"say": "Got it! Name please?", "action": "continue"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *told): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
print(server.server_port, flush=True)
server.serve_forever()
'
if [ -z "$WEBHOOK" ]; then
  case "$BASE" in
    http://127.0.0.1:*|http://localhost:*) ;;
    *) echo 'WEBHOOK must be the address of a webhook that the platform can reach.' >&2; exit 2 ;;
  esac
  mkfifo "$WORK/port"
  python3 -c "$WEBHOOK_PROGRAM" >"$WORK/port" &
  LISTENER=$!
  read -r port <"$WORK/port"
  WEBHOOK=http://127.0.0.1:$port/bot
fi

section 'The documents'
expect 200 GET /openapi.yaml
expect 200 GET /openapi.json
expect 200 GET /docs

section 'Users'
if [ -n "$TOKEN" ]; then
  left_out 'sign-up and token: TOKEN is set'
else
  account='{"email": "curl-'$(date +%s)-$RANDOM'@example.com", "password": "correct horse battery"}'
  expect 201 POST /v1/auth/signup -H 'Content-Type: application/json' -d "$account"
  expect 409 POST /v1/auth/signup -H 'Content-Type: application/json' -d "$account"
  expect 200 POST /v1/auth/token -H 'Content-Type: application/json' -d "$account"
  TOKEN=$(field access_token)
fi
as 200 GET /v1/me
json 200 PATCH /v1/me '{"timezone": "Europe/Berlin"}'
json 201 POST /v1/api-keys '{"name": "curl"}'
key_id=$(field id)
api_key=$(field key)
as 200 GET /v1/api-keys
expect 200 GET /v1/me -H "X-API-Key: $api_key"
expect 401 GET /v1/me -H 'X-API-Key: cbk_wrong'

section 'Bots'
as 200 GET /v1/voices
json 200 POST /v1/bots '{"goal": "Take restaurant reservations", "webhook": "'"$WEBHOOK"'",
  "context": "Open 5PM–10PM. Tables for 2,4,6. No pets.", "voice": "elevenlabs:emma"}'
bot_id=$(field id)
json 400 POST /v1/bots '{"goal": ""}'
as 200 GET '/v1/bots?limit=50'
as 200 GET "/v1/bots/$bot_id"
etag=$(header ETag)
json 200 PATCH "/v1/bots/$bot_id" '{"greeting": "Good evening!", "default": true}' -H "If-Match: $etag"
json 412 PATCH "/v1/bots/$bot_id" '{"greeting": "Too late"}' -H "If-Match: $etag"
json 200 POST "/v1/bots/$bot_id/test-webhook" '{"user_text": "Table for 4 at 7PM"}'
contains '"say"'

section 'Your Twilio number'
if [ -n "${TWILIO_ACCOUNT_SID:-}" ] && [ -n "${TWILIO_AUTH_TOKEN:-}" ] && [ -n "${TWILIO_PHONE_NUMBER_SID:-}" ]; then
  # The auth token goes by a file, so that it is not shown.
  printf '{"account_sid": "%s", "auth_token": "%s", "phone_number_sid": "%s"}' \
    "$TWILIO_ACCOUNT_SID" "$TWILIO_AUTH_TOKEN" "$TWILIO_PHONE_NUMBER_SID" >"$WORK/twilio.json"
  json 200 POST /v1/connect-twilio "@$WORK/twilio.json"
  as 200 GET /v1/my-number
  as 200 DELETE /v1/my-number
else
  left_out 'connect-twilio: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER_SID'
fi
as 404 GET /v1/my-number

section 'What Twilio asks'
call_id=CA$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
from_twilio=(-d "CallSid=$call_id" --data-urlencode 'From=+14155550100' --data-urlencode 'To=+14155551234')
expect 400 POST '/v1/voice?bot_id=no%20bot' "${from_twilio[@]}"
contains 'Invalid bot'
expect 404 POST '/v1/voice?bot_id=bot_unknown' "${from_twilio[@]}"
contains 'Bot not found'
# A platform that is open to the internet takes nothing that Twilio has not signed.
expect '200|403' POST "/v1/voice?bot_id=$bot_id" "${from_twilio[@]}" -d CallStatus=ringing
if [ -n "$BODY" ]; then
  contains '<Connect'
  next=$(printf '%s' "$BODY" | sed -n 's/.*action="[^"]*\(\/v1\/voice\/next[^"]*\)".*/\1/p')
  expect 200 POST /v1/voice/fallback -d 'ErrorUrl=https://callbot.example/v1/voice?bot_id=bot_unknown'
  contains 'Bot not found'
  expect 200 POST "$next" -d "CallSid=$call_id" -d CallStatus=completed
  contains '<Hangup/>'
  expect 204 POST /v1/voice/status -d "CallSid=$call_id" -d CallStatus=completed
else
  left_out 'next, fallback and status: this platform wants the signature of Twilio'
fi
# The media stream: the handshake of a WebSocket, and without one.
expect 400 GET "/v1/voice/stream/$bot_id"
expect 400 GET "/stream/$bot_id"

section 'Calls'
as 200 GET "/v1/calls?bot_id=$bot_id&limit=50"
case "$BODY" in
  *"$call_id"*)
    as 200 GET "/v1/calls/$call_id"
    # Without a media stream there was nothing to see: 204.
    as '200|204' GET "/v1/calls/$call_id/events" -H 'Accept: text/event-stream'
    # The end of the call is written a moment after Twilio has told of it.
    for _ in $(seq 20); do
      as '200|409' DELETE "/v1/calls/$call_id"
      case "$BODY" in *call_live*) sleep 0.2 ;; *) break ;; esac
    done
    contains 'message'
    ;;
esac
as 404 GET "/v1/calls/$call_id"
as 404 GET "/v1/calls/$call_id/events" -H 'Accept: text/event-stream'
as 404 DELETE "/v1/calls/$call_id"

section 'The end'
as 200 DELETE "/v1/bots/$bot_id"
contains 'Bot deleted'
as 404 GET "/v1/bots/$bot_id"
as 200 DELETE "/v1/api-keys/$key_id"
as 404 DELETE "/v1/api-keys/$key_id"

printf '\nEvery answer was the documented one.\n'
