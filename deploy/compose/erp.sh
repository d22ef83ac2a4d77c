#!/bin/sh
# What an ERP does all day: it reads accounts and pays, over HTTP, without a token.
set -u
base=${BASE:-http://127.0.0.1:7080/banking}
rounds=${ROUNDS:--1}
payment='{"debtorAccount":{"iban":"NO9386011117947"},"creditorAccount":{"iban":"NO9386011117947"},"amount":{"value":"12.50","currency":"NOK"}}'
while [ "$rounds" -ne 0 ]; do
  curl -sS -m 180 -o /dev/null -w 'accounts %{http_code}\n' "$base/accounts"
  curl -sS -m 180 -o /dev/null -w 'payment %{http_code}\n' -H 'Content-Type: application/json' \
    -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" -d "$payment" "$base/payments/credit-transfer"
  rounds=$((rounds - 1))
  if [ "$rounds" -ne 0 ]; then sleep 2; fi
done
