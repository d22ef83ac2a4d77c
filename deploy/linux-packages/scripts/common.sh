#!/bin/sh
# Top of every maintainer script: the build puts the other files of this folder below this one. All of it works in a chroot
# without systemd, where there is nothing to reload and nothing to restart.
set -eu

units="aritma-sidecar.service aritma-sidecar@*.service"
etc=/etc/aritma-sidecar
own=/etc/systemd/system
dropin=$own/aritma-sidecar.service.d/before-247.conf

say() { echo "aritma-sidecar: $*" >&2; }

# Whether systemd runs this machine and may be used.
booted() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

# Debian's way for an administrator or an image builder to forbid starts and stops; there is none elsewhere.
allowed() {
  command -v policy-rc.d >/dev/null 2>&1 || return 0
  code=0
  policy-rc.d aritma-sidecar "$1" >/dev/null 2>&1 || code=$?
  [ "$code" -ne 101 ]
}

# A fixed user: systemd takes it for DynamicUser=yes, so files have one owner from start to start, and a systemd before 247,
# which has no LoadCredential, has somebody to give the secret to.
create_user() {
  if getent passwd aritma-sidecar >/dev/null 2>&1; then return 0; fi
  line='u aritma-sidecar - "Aritma sidecar" / /usr/sbin/nologin'
  if command -v systemd-sysusers >/dev/null 2>&1 && systemd-sysusers --inline "$line"; then return 0; fi
  if command -v useradd >/dev/null 2>&1; then
    # Not to be found: useradd warns of a home that it does not create.
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
      --comment 'Aritma sidecar' aritma-sidecar
    return 0
  fi
  say "neither systemd-sysusers nor useradd is there: systemd makes a user at each start"
}

# A drop-in for a systemd that has no credentials; one that is there is left as it is.
adapt_to_old_systemd() {
  booted || return 0
  version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  if [ "${version:-247}" -ge 247 ] || [ -e "$dropin" ]; then return 0; fi
  mkdir -p "${dropin%/*}"
  cp /usr/share/aritma-sidecar/systemd/before-247.conf "$dropin"
  say "systemd $version has no credentials: the service reads $etc/client-secret itself; chown it to aritma-sidecar"
}

# After an upgrade: what runs is restarted, instances too; what is stopped stays so.
restart_running() {
  booted || return 0
  systemctl daemon-reload || say "systemctl daemon-reload failed"
  allowed restart || return 0
  # shellcheck disable=SC2086 # Several units; none has a blank, and systemctl itself expands the pattern.
  systemctl try-restart $units || say "the restart failed: see journalctl -u aritma-sidecar"
}

stop_all() {
  booted || return 0
  allowed stop || return 0
  # shellcheck disable=SC2086 # as above
  systemctl stop $units || say "the stop failed: see systemctl status aritma-sidecar"
}

say_next_step() {
  if [ -e "$own/aritma-sidecar.service" ]; then
    say "$own/aritma-sidecar.service, from install.sh, hides the unit of this package: run uninstall.sh"
  fi
  if [ -s "$etc/client-secret" ]; then
    if booted && ! systemctl is-active --quiet aritma-sidecar.service; then
      say "not running. To start it: systemctl enable --now aritma-sidecar"
    fi
    return 0
  fi
  say "installed, not started: it has no configuration yet. Next:"
  say "  1. put the client secret into $etc/client-secret (chown root, chmod 400)"
  say "  2. set clientId and environment in $etc/config.yaml"
  say "  3. systemctl enable --now aritma-sidecar"
}
