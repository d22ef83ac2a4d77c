"""Runs a program in what a unit of systemd makes of the machine, as far as that can be had without systemd: its mounts, user,
capabilities, limits and filter of system calls, read from the unit where they are numbers or names. Needs root, and to be
started by `unshare --mount --ipc --uts`.

Arguments: the unit's file, the folder of the compiled package, Node's program, a folder with config.yaml and credentials, one that is
the service's state, one that is seen as /run/notify; then the program with its arguments."""
import ctypes
import os
import re
import resource
import subprocess
import sys

import seccomp

unit, compiled, node, given, state, notify, *command = sys.argv[1:]
SERVICE = "aritma-sidecar.service"
UID = 61184  # the first that DynamicUser= gives out
text = re.sub(r"\\\n", " ", open(unit).read())


def setting(name):
    return re.findall(rf"^{name}=(.*)$", text, re.M)


def calls_of(name):
    """A group of system calls, in names of calls."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    found = set()
    for line in listed.stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def system_call_filter():
    allowed = set(calls_of("@default"))
    for line in setting("SystemCallFilter"):
        names = set().union(*(calls_of(name) for name in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    assert setting("SystemCallErrorNumber") == ["EPERM"]
    filter = seccomp.SyscallFilter(seccomp.ERRNO(1))
    families = {"AF_INET": 2, "AF_INET6": 10, "AF_UNIX": 1}
    for family in " ".join(setting("RestrictAddressFamilies")).split():
        filter.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, families[family]))
    for name in sorted(allowed - {"socket"}):
        try:
            filter.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # a call of another architecture
    return filter


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def bind(source, target, mode="ro"):
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    mount("--bind", source, target)
    mount("-o", f"remount,bind,nosuid,nodev,{mode}", target)


def build(root):
    """The machine as the service sees it; everything is read-only but its own folders."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=0755", "none", root)
    for folder in ("usr", "etc/ssl", "etc/alternatives"):
        bind(f"/{folder}", f"{root}/{folder}")
    for folder in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{folder}"):
            os.symlink(os.readlink(f"/{folder}"), f"{root}/{folder}")
    for name in ("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "ld.so.cache"):
        if os.path.exists(f"/etc/{name}"):
            bind(os.path.realpath(f"/etc/{name}"), f"{root}/etc/{name}")
    mount("-t", "tmpfs", "-o", "mode=0755", "none", f"{root}/usr/local")
    # As npm install --global puts it there.
    bind(compiled, f"{root}/usr/local/lib/node_modules/aritma-sidecar")
    bind(node, f"{root}/usr/local/bin/node")
    os.symlink("../lib/node_modules/aritma-sidecar/main.js", f"{root}/usr/local/bin/aritma-sidecar")
    mount("-o", "remount,ro", f"{root}/usr/local")
    bind(f"{given}/config.yaml", f"{root}/etc/aritma-sidecar/config.yaml")
    credentials = f"{root}/run/credentials/{SERVICE}"
    os.makedirs(credentials)
    mount("-t", "tmpfs", "-o", f"mode=0500,uid={UID},gid={UID}", "none", credentials)
    for name in os.listdir(f"{given}/credentials"):
        with open(f"{given}/credentials/{name}", "rb") as source, open(f"{credentials}/{name}", "wb") as copy:
            copy.write(source.read())
        os.chmod(f"{credentials}/{name}", 0o400)
        os.chown(f"{credentials}/{name}", UID, UID)
    mount("-o", "remount,ro", credentials)
    writable = {"run/aritma-sidecar": "0750", "tmp": "1777", "var/tmp": "1777"}
    for folder, mode in writable.items():
        os.makedirs(f"{root}/{folder}")
        mount("-t", "tmpfs", "-o", f"mode={mode},uid={UID},gid={UID},nosuid,nodev", "none", f"{root}/{folder}")
    os.chown(state, UID, UID)
    os.chmod(state, 0o700)
    bind(state, f"{root}/var/lib/aritma-sidecar", "rw")
    bind(notify, f"{root}/run/notify", "rw")
    for device in ("null", "zero", "random", "urandom"):
        os.makedirs(f"{root}/dev", exist_ok=True)
        open(f"{root}/dev/{device}", "a").close()
        mount("--bind", f"/dev/{device}", f"{root}/dev/{device}")
    os.makedirs(f"{root}/proc")
    mount("-t", "proc", "-o", "nosuid,nodev,noexec,hidepid=invisible,subset=pid", "none", f"{root}/proc")
    mount("-o", "remount,ro", root)


def give_up_rights():
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; those that do not exist are refused
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = int(setting("LimitNOFILE")[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(0o077)
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


root = f"{given}/root"
os.makedirs(root)
calls = system_call_filter()
build(root)
os.chroot(root)
os.chdir("/")
environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "NOTIFY_SOCKET": "/run/notify/socket", "CREDENTIALS_DIRECTORY": f"/run/credentials/{SERVICE}"}
environment["WATCHDOG_USEC"] = os.environ["WATCHDOG_USEC"]
for line in setting("Environment"):
    name, _, value = line.strip('"').partition("=")
    environment[name] = value.replace("%n", SERVICE)
give_up_rights()
for line in setting("ExecStartPre"):
    subprocess.run(["/bin/sh", "-c", re.fullmatch(r"/bin/sh -c '(.*)'", line)[1]], env=environment, check=True)
calls.load()
os.execvpe(command[0], command, environment)
