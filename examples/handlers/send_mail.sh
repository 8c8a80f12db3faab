#!/bin/sh
# SendMailJob(to:, subject:) in plain sh. The job arrives as one line of JSON on stdin.
set -eu
read -r job

# Enough for a string without escapes; a real script would use jq.
field() { printf '%s' "$job" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
to=$(field to)

case $to in
  *@*) ;;
  *) echo "no address: '$to'" >&2; exit 65 ;;   # EX_DATAERR: no retry will mend that
esac

# Somewhere the mail server says "busy": come back in five minutes, without using an attempt.
if [ "$(field subject)" = "busy" ]; then
  echo '{"retry_in": 300}'
  exit 75                                       # EX_TEMPFAIL
fi

echo "attempt $GOOD_JOB_ATTEMPT of $GOOD_JOB_CLASS to $to" >&2   # goes to the worker's log
echo "{\"sent\": \"$to\"}"                                       # the last line is the result
