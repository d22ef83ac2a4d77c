#!/bin/sh
# Installs the sidecar as a systemd service, or brings an installation up to date; run as root, as often as you like.
# Configuration and secret that are there already are left alone.
set -eu

usage() {
  echo "usage: $0 [--program FILE] [--secret FILE] [--instance NAME] [--no-start]" >&2
  echo "  --program   the sidecar's executable; without it, /usr/local/bin/aritma-sidecar must be there (npm install -g)" >&2
  echo "  --secret    file with the client secret; without it, it is expected in its place" >&2
  echo "  --instance  one of several sidecars on this machine" >&2
  exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
# For packages and tests: everything goes below this folder.
root=${DESTDIR:-}
program='' secret='' instance='' start=yes
while [ $# -gt 0 ]; do
  case $1 in
    --program) program=${2:?}; shift 2 ;;
    --secret) secret=${2:?}; shift 2 ;;
    --instance) instance=${2:?}; shift 2 ;;
    --no-start) start=no; shift ;;
    *) usage ;;
  esac
done
case $instance in *[!a-z0-9-]*) echo "--instance: only a-z, 0-9 and -" >&2; exit 2 ;; esac
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then echo "$0: run it as root" >&2; exit 1; fi

etc=$root/etc/aritma-sidecar
units=$root/etc/systemd/system
bin=$root/usr/local/bin/aritma-sidecar
if [ -n "$instance" ]; then
  unit="aritma-sidecar@$instance.service" template='aritma-sidecar@.service' config=$etc/$instance.yaml place=$etc/$instance.secret
else
  unit=aritma-sidecar.service template=aritma-sidecar.service config=$etc/config.yaml place=$etc/client-secret
fi

mkdir -p "$etc" "$units" "$root/usr/local/bin"
if [ -n "$program" ]; then
  # Beside it and then over it: the one that is running stays whole.
  install -m 0755 "$program" "$bin.new"
  mv -f "$bin.new" "$bin"
fi
if [ ! -x "$bin" ]; then echo "$0: $bin is missing: give --program, or npm install -g ./aritma-sidecar-*.tgz" >&2; exit 1; fi
[ -e "$config" ] || install -m 0644 "$here/config.yaml" "$config"
if [ -n "$secret" ]; then
  install -m 0400 "$secret" "$place.new"
  mv -f "$place.new" "$place"
fi
install -m 0644 "$here/$template" "$units/$template"

version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
if [ "${version:-0}" -lt 247 ]; then
  id aritma-sidecar >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin aritma-sidecar
  mkdir -p "$units/$template.d"
  name=client-secret
  if [ -n "$instance" ]; then name=%i.secret; fi
  sed "s|/etc/aritma-sidecar/client-secret|/etc/aritma-sidecar/$name|" \
    "$here/options/before-247.conf" > "$units/$template.d/before-247.conf"
  if [ -e "$place" ]; then chown aritma-sidecar "$place"; fi
fi

systemctl daemon-reload
if [ "$start" = no ]; then exit 0; fi
if [ ! -s "$place" ]; then
  echo "put the client secret into $place (chmod 400), set clientId in $config, then: systemctl enable --now $unit"
  exit 0
fi
systemctl enable "$unit"
systemctl restart "$unit"
systemctl --no-pager status "$unit" || true
