#!/usr/bin/env bash
# Plays Twilio with curl: what the platform says when a call comes in. For a platform in open mode
# (`callbot up` on this machine): elsewhere unsigned requests are answered with 403.
#
#   docs/curl_test_voice.sh                 # makes a bot, calls it, deletes it
#   BOT_ID=bot_… docs/curl_test_voice.sh    # calls yours
#
# BASE  where the platform is    http://127.0.0.1:8080
set -euo pipefail

BASE=${BASE:-http://127.0.0.1:8080}
BOT_ID=${BOT_ID:-}
MADE=
trap '[ -z "$MADE" ] || curl --silent --output /dev/null -X DELETE "$BASE/bots/$MADE"' EXIT

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

# says STATUS TEXT METHOD PATH [curl's arguments]
says() {
  local wanted=$1 text=$2 method=$3 path=$4 answer status
  shift 4
  printf '\n$ curl -X %s "%s%s"%s\n' "$method" "$BASE" "$path" "$(quoted "$@")"
  answer=$(curl --silent --show-error --max-time 15 -X "$method" "$BASE$path" "$@" \
    -H 'Content-Type: application/x-www-form-urlencoded' --write-out '\n%{http_code} %{content_type}')
  printf '%s\n' "$answer"
  status=${answer##*$'\n'}
  case "$status" in
    "$wanted application/xml"*|"204 "*) ;;
    "403 "*) printf '\nFAILED: 403. Unsigned requests are taken in open mode only.\n' >&2; exit 1 ;;
    *) printf '\nFAILED: %s instead of %s application/xml\n' "$status" "$wanted" >&2; exit 1 ;;
  esac
  case "$answer" in
    *"$text"*) ;;
    *) printf '\nFAILED: the answer does not contain %s\n' "$text" >&2; exit 1 ;;
  esac
}

if [ -z "$BOT_ID" ]; then
  answer=$(curl --silent --show-error --max-time 15 -X POST "$BASE/bots" -H 'Content-Type: application/json' \
    -d '{"goal": "Book table", "webhook": "https://example.com/bot"}' --write-out '\n%{http_code}')
  case "${answer##*$'\n'}" in
    200) ;;
    *) printf '%s\n\nFAILED: no bot could be made. This is for a platform in open mode only.\n' "$answer" >&2; exit 1 ;;
  esac
  MADE=$(printf '%s' "$answer" | sed -n 's/.*{"id": *"\([^"]*\)".*/\1/p')
  BOT_ID=$MADE
fi
call_id=CA$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

# As in the documentation, without any field of Twilio's.
says 200 "/voice/stream/$BOT_ID\"" POST "/voice?bot_id=$BOT_ID"
# As Twilio does it; a repeated request gets the same call.
twilio=(-d "CallSid=$call_id" --data-urlencode 'From=+14155550100' -d CallStatus=ringing)
says 200 '<Parameter name="token"' POST "/v1/voice?bot_id=$BOT_ID" "${twilio[@]}"
says 200 "call=$call_id" POST "/v1/voice?bot_id=$BOT_ID" "${twilio[@]}"
says 200 "call=$call_id" GET "/v1/voice?bot_id=$BOT_ID&CallSid=$call_id"
# What goes wrong, and the sentence that the caller hears.
says 400 '<Say>Invalid bot</Say>' POST '/voice?bot_id=no%20bot'
says 400 '<Say>Invalid bot</Say>' POST /voice
says 404 '<Say>Bot not found</Say>' POST '/voice?bot_id=bot_unknown'
says 400 '<Say>Invalid call</Say>' POST "/voice?bot_id=$BOT_ID" -d CallSid=not-a-call
# Twilio does not play a 4xx: it asks the fallback URL, which answers 200.
says 200 '<Say>Bot not found</Say><Hangup/>' POST /v1/voice/fallback \
  -d ErrorCode=11200 -d "ErrorUrl=$BASE/v1/voice?bot_id=bot_unknown"
says 200 '<Say>Invalid bot</Say><Hangup/>' POST /v1/voice/fallback \
  -d ErrorCode=11200 --data-urlencode "ErrorUrl=$BASE/v1/voice?bot_id=no%20bot"
# The call is over.
says 204 '' POST /v1/voice/status -d "CallSid=$call_id" -d CallStatus=completed

printf '\nTwilio would be content.\n'
