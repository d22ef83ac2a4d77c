#!/bin/sh
# Makes, once, what the sidecars of the fleet share: the key that seals their tokens, and their password for the store. Each is
# readable by the user of the containers alone, and neither is ever part of an image or of a repository.
set -eu
umask 077
cd "${FOLDER:-/keys}"
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
if [ ! -e users.acl ]; then
  random > fleet-key
  random > valkey-password
  # What a sidecar needs, and `fleet status` and `check`: docs/tokens.md.
  cat > users.acl <<ACL
user default off
user aritma on >$(cat valkey-password) resetchannels ~aritma:* &aritma:* +eval +evalsha +subscribe +publish +time +get +set +strlen +getrange +del +pttl +pexpire +hset +hdel +zadd +zrem +zrangebyscore +zcard +hgetall +zrange +info +scan
ACL
  chown "${OWNER:-10001:10001}" fleet-key valkey-password users.acl .
fi
