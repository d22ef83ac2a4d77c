#!/bin/sh
# Takes the service away again; run as root, as often as you like. Configuration, secrets and what a rotation has stored stay,
# unless --purge is given: a secret that a rotation has made exists nowhere else.
set -eu

root=${DESTDIR:-}
purge=no instance=''
while [ $# -gt 0 ]; do
  case $1 in
    --purge) purge=yes; shift ;;
    --instance) instance=${2:?}; shift 2 ;;
    *) echo "usage: $0 [--instance NAME] [--purge]" >&2; exit 2 ;;
  esac
done
case $instance in *[!a-z0-9-]*) echo "--instance: only a-z, 0-9 and -" >&2; exit 2 ;; esac
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then echo "$0: run it as root" >&2; exit 1; fi

etc=$root/etc/aritma-sidecar
units=$root/etc/systemd/system
if [ -n "$instance" ]; then
  # The template and the program stay for the other instances.
  systemctl disable --now "aritma-sidecar@$instance.service" || true
  if [ "$purge" = yes ]; then rm -f "$etc/$instance.yaml" "$etc/$instance.secret"; fi
  exit 0
fi

# Stops with the time that running requests are given.
systemctl disable --now aritma-sidecar.service || true
rm -rf "$units/aritma-sidecar.service" "$units/aritma-sidecar.service.d"
if ls "$etc"/*.secret >/dev/null 2>&1 && [ -e "$units/aritma-sidecar@.service" ]; then
  echo "instances are left: program, template and $etc stay"
  systemctl daemon-reload
  exit 0
fi
rm -rf "$units/aritma-sidecar@.service" "$units/aritma-sidecar@.service.d"
# What npm installed is a link, and npm's to remove.
if [ ! -L "$root/usr/local/bin/aritma-sidecar" ]; then rm -f "$root/usr/local/bin/aritma-sidecar"; fi
if [ "$purge" = yes ]; then rm -rf "$etc" "$root/var/lib/aritma-sidecar" "$root/var/lib/private/aritma-sidecar"; fi
systemctl daemon-reload
