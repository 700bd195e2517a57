# SPDX-License-Identifier: Apache-2.0
"""What a Linux program finds around it: its environment, its locale and time zone, the conversions and certificates that
its libraries open, and for language runtimes a new seed in each invocation. Where possible the host gives the answer."""
import json
import os
import shutil
import subprocess

import pytest

from harness import tree

BACKENDS = ["kvm", "process"] if tree.kvm_works() else ["process"]
SHELL = shutil.which("busybox", path="/usr/bin:/bin")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOCALE = ["LC_ALL", "LANG", "LANGUAGE", "TZ", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES"]


@pytest.fixture
def function(place):
    """function(*options, args=..., caller={...}): freezes with the CALLER's locale variables alone; returns run(stdin)."""
    def freeze(*options, args, caller=None, status=0, say=(), silent=(), backend=BACKENDS[0]):
        image = place.base / "function.thaw"
        image.unlink(missing_ok=True)
        environment = {key: value for key, value in place.environment().items() if key not in LOCALE} | (caller or {})
        done = subprocess.run([tree.THAW, "freeze", "function", "--image", image, "--backend", backend, *options, "--",
                               *map(str, args)], capture_output=True, env=environment, timeout=300)
        assert done.returncode == status, done
        for words in say:
            assert words in done.stderr.decode(), done.stderr
        for words in silent:
            assert words not in done.stderr.decode(), done.stderr

        def run(stdin=b""):
            done = place.thaw("run", image, "--backend", backend, stdin=stdin)
            assert done.returncode == 0, done
            return done.stdout.decode(errors="replace")
        run.image = image
        return run
    return freeze


def installed(program):
    return pytest.mark.skipif(not shutil.which(program, path="/usr/bin:/bin"), reason=f"{program} is not installed")


def variables(run):
    return dict(entry.split("=", 1) for entry in run().split("\0")[:-1])


ENV = [SHELL, "cat", "-", "/proc/self/environ"]


def shown(function, *options, **more):
    """The program's variables, without what the core adds for the loader."""
    return {key: value for key, value in variables(function(*options, args=ENV, **more)).items()
            if key != "LD_BIND_NOW"}


# ---- The environment ----

@installed("busybox")
def test_a_program_has_the_variables_of_a_person(place, function):
    base = {"PATH": PATHS, "HOME": "/root", "USER": "root", "LOGNAME": "root", "LANG": "C.UTF-8"}
    assert shown(function) == base
    assert shown(function, caller={"LANG": "de_DE", "TZ": "Asia/Tokyo"}) == {**base, "TZ": "Asia/Tokyo"}  # not UTF-8
    # A locale that this host does not have would be C.
    assert shown(function, caller={"LC_ALL": "xx_XX.UTF-8"}) == base
    assert shown(function, caller={"LANG": "C.UTF-8", "LC_TIME": "C.utf8", "LC_NUMERIC": "de_DE"}) == {
        **base, "LC_TIME": "C.utf8"}
    assert shown(function, caller={"LC_ALL": "C.utf8", "LC_TIME": "C.UTF-8"}) == {**base, "LANG": "C.utf8"}
    given = shown(function, "--env", "PATH=/x", "--env", "LANG=C", "--env", "HOME=", "--env", "A=1",
                  caller={"LC_TIME": "C.UTF-8", "LC_ALL": "C.UTF-8"})
    assert given == {**base, "PATH": "/x", "LANG": "C", "HOME": "", "A": "1"}
    # What was chosen is recorded.
    recorded = json.loads(place.thaw("inspect", place.base / "function.thaw", "--json").stdout)["env"]
    assert "USER=root" in recorded and "PATH=/x" in recorded


@installed("busybox")
def test_a_program_has_no_variables_when_none_are_wanted(function):
    assert shown(function, "--no-default-env", "--env", "A=1", caller={"LANG": "C.UTF-8", "TZ": "UTC"}) == {"A": "1"}


@installed("busybox")
def test_home_and_names_are_the_users(function):
    """They are those of the tree's /etc/passwd, and the directory is the user's own."""
    args = [SHELL, "sh", "-c", "read x; cd; pwd; echo $HOME $USER; echo a >mine && echo wrote; ls -ld /root /run /var/tmp"]
    assert function("--user", "games", args=args)(b"\n").splitlines()[:3] == ["/usr/games", "/usr/games games", "wrote"]
    lines = function("--user", "1234:77", args=args)(b"\n").splitlines()
    assert lines[:2] == ["/", "/ user"]
    assert [line.split()[0] for line in lines[-3:]] == ["drwx------", "drwxr-xr-x", "drwxrwxrwt"]


@installed("busybox")
def test_a_root_that_has_the_program_gets_its_own_locale_and_zone(place, function):
    root = place.base / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(SHELL, root / "bin/busybox")
    args = ["/bin/busybox", "sh", "-c", "read x; echo $LANG ${TZ-none} $HOME; [ -e /usr/share ] || echo nothing"]
    if subprocess.run(["ldd", SHELL], capture_output=True).returncode == 0:
        pytest.skip("busybox is not static")
    caller = {"LANG": "C.utf8", "TZ": "Europe/Berlin"}
    assert function("--root", root, args=args, caller=caller)(b"\n") == "C.UTF-8 none /root\nnothing\n"
    (root / "usr/lib/locale/C.utf8").mkdir(parents=True)
    (root / "usr/lib/locale/C.utf8/LC_CTYPE").touch()
    (root / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (root / "usr/share/zoneinfo/Europe/Berlin").touch()
    assert function("--root", root, args=args, caller=caller)(b"\n") == "C.utf8 Europe/Berlin /root\n"


def test_a_native_function_gets_nothing(place, function):
    run = function("--env", "A=1", args=[tree.program("hello")], caller={"LANG": "C.UTF-8"})
    assert json.loads(place.thaw("inspect", run.image, "--json").stdout)["env"] == ["A=1"]


# ---- Locale, zone, conversions, certificates ----

WORDS = "héllo wörld\nnaïve\n".encode()


@pytest.mark.parametrize("command", [["wc", "-m"], ["sed", "s/./x/g"], ["grep", "-o", "w.rld"], ["gawk", "{ print toupper($0), length($0) }"],
                                     ["sort"], ["cut", "-c1-3"]], ids=lambda command: command[0])
def test_characters_are_what_they_are_on_the_host(function, command):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    host = subprocess.run(command, input=WORDS, capture_output=True, env={"PATH": PATHS, "LANG": "C.UTF-8"}, check=True)
    assert function(args=command)(WORDS) == host.stdout.decode(errors="replace")


@installed("gawk")
def test_local_time_is_the_hosts(function):
    command = ["gawk", '{ print strftime("%Y-%m-%d %H:%M %Z", $0) }']
    request = b"1700000000\n1720000000\n"

    def host(**more):
        return subprocess.run(command, input=request, capture_output=True, check=True,
                              env={"PATH": PATHS, **more}).stdout.decode()
    assert function(args=command)(request) == host()
    assert function(args=command, caller={"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"})(request) == host(TZ="CET-1CEST,M3.5.0,M10.5.0/3")
    if os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
        for zone in ("Europe/Berlin", ":Asia/Tokyo", "/usr/share/zoneinfo/Asia/Tokyo"):
            assert function("--env", f"TZ={zone}", args=command, silent=["TZ="])(request) == host(TZ=zone)
            assert function(args=command, caller={"TZ": zone})(request) == host(TZ=zone)
    function("--env", "TZ=Nowhere/Land", args=command, say=["TZ=Nowhere/Land", "/usr/share/zoneinfo"])


def test_a_locale_that_this_host_does_not_have_is_named(function):
    function("--env", "LANG=xx_XX.UTF-8", args=["wc", "-m"], say=["LANG=xx_XX.UTF-8", "no such locale"])
    function("--env", "LC_ALL=C", "--env", "LANG=POSIX", args=["wc", "-m"], silent=["no such locale"])


@installed("iconv")
def test_character_sets_are_converted_as_on_the_host(function):
    for names in (["-f", "latin1", "-t", "utf-8"], ["-f", "IBM850", "-t", "utf-8"], ["-f", "sjis", "-t", "utf-8"]):
        request = b"h\x82\xa0llo\n" if "sjis" in names else b"h\xe9llo\n"
        host = subprocess.run(["iconv", *names], input=request, capture_output=True, check=True)
        assert function(args=["iconv", *names])(request) == host.stdout.decode()


CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.skipif(not os.path.exists(CERTIFICATES), reason="there are no certificates of authorities here")
@installed("openssl")
def test_openssl_finds_the_authorities(place, function):
    """The certificate is one of the host's own authorities, so it is trusted if the directory is there."""
    text = open(CERTIFICATES).read()
    one = place.base / "one.pem"
    one.write_text(text[:text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n")
    # Without a name, openssl verify reads the certificate from standard input.
    run = function("--memory", "128M", args=["openssl", "verify"])
    assert run(one.read_bytes()) == "stdin: OK\n"
    if os.path.exists("/usr/bin/python3"):
        run = function("--memory", "256M", args=["/usr/bin/python3", "-c", (
            "import ssl, sys; c = ssl.create_default_context(cafile=sys.stdin.readline().strip()); "
            "print(len(c.get_ca_certs()) > 0)")])
        assert run(CERTIFICATES.encode() + b"\n") == "True\n"


# ---- Random numbers ----

NODE = """
const crypto = require('crypto'), fs = require('fs');
const early = [crypto.randomUUID(), crypto.randomInt(1e9), Math.random()];
fs.readFileSync(0);
const later = [crypto.randomUUID(), globalThis.crypto ? globalThis.crypto.randomUUID() : crypto.randomUUID(),
               crypto.randomInt(1e9), Math.random(), crypto.randomBytes(8).toString('hex')];
console.log(JSON.stringify({early, later, options: process.env.NODE_OPTIONS || 'none'}));
process.exit(0);
"""
PERL = ("use List::Util 'shuffle'; my @early = (rand, shuffle 1..20); my $line = <STDIN>; "
        "print join(' ', @early), qq(\\n), rand, qq(\\n), join(' ', shuffle 1..20), qq(\\n), $ENV{PERL5OPT} // 'none', qq(\\n)")
RUBY = ("early = [rand, [*1..20].shuffle]; STDIN.gets; p early, rand, Random.rand, [*1..20].shuffle; puts ENV['RUBYOPT'] || 'none'")
LUA = "local early = math.random() local line = io.read() print(early) print(math.random()) print(math.random(1 << 40))"

# name: the command, which lines of the answer are drawn before the read, which after; the others are alike.
DRAWS = {
    "perl": (["perl", "-e", PERL], [0], [1, 2]),
    "ruby": (["ruby", "-e", RUBY], [0], [1, 2, 3]),
    "lua5.4": (["lua5.4", "-e", LUA], [0], [1, 2]),
}
# The same with a seed of the program's own, after which all answers are those of the host.
SEEDED = {
    "perl": ["perl", "-e", "use List::Util 'shuffle'; srand(42); my $a = rand; <STDIN>; print $a, ' ', rand, ' ', join(',', shuffle 1..9), qq(\\n)"],
    "ruby": ["ruby", "-e", "srand(42); a = rand; STDIN.read; p a, rand, [1, 2, 3, 4, 5].shuffle, Random.rand(100), [1, 2, 3].sample"],
    "lua5.4": ["lua5.4", "-e", "math.randomseed(42) local a = math.random() for line in io.lines() do print(a, math.random()) end"],
    "node": ["node", "--random-seed=42", "-e", "const a = Math.random(); require('fs').readFileSync(0); console.log(a, Math.random())"],
}


def three(run):
    return [run(b"a\nb\n") for _ in range(3)]


@pytest.mark.parametrize("name", DRAWS)
def test_a_runtime_draws_other_numbers_in_each_invocation(function, name):
    if not shutil.which(name, path="/usr/bin"):
        pytest.skip(f"{name} is not installed")
    command, early, later = DRAWS[name]
    answers = [answer.splitlines() for answer in three(function("--memory", "128M", args=command))]
    for i in range(len(answers[0])):
        different = len({answer[i] for answer in answers})
        assert different == (3 if i in later else 1), (i, answers)
    assert answers[0][-1] == "none" or name == "lua5.4"  # the hook's variable is not to be seen


@installed("node")
def test_node_draws_other_numbers_in_each_invocation(function):
    answers = [json.loads(answer) for answer in three(function("--memory", "256M", args=["node", "-e", NODE]))]
    assert len({json.dumps(answer["early"]) for answer in answers}) == 1
    for i in range(len(answers[0]["later"])):
        assert len({str(answer["later"][i]) for answer in answers}) == 3, (i, answers)
    assert {answer["options"] for answer in answers} == {"none"}


@installed("node")
def test_nodes_functions_look_as_they_do_without_the_hook(function):
    script = ("require('fs').readFileSync(0); const c = require('crypto'); const e = f => { try { f(); } catch (e) { return e.message; } }; "
              "console.log(JSON.stringify([Math.random.name, Math.random.length, /native code/.test(Math.random), c.randomUUID.name, "
              "c.randomUUID.length, c.randomInt.name, c.randomInt.length, Object.keys(require.cache), process.env.NODE_OPTIONS, "
              "e(() => c.randomInt(5, 1)), e(() => c.randomUUID(3)), Object.keys(c).length])); process.exit(0)")
    host = subprocess.run(["node", "-e", script], input=b"", capture_output=True, check=True,
                          env={"PATH": PATHS, "NODE_OPTIONS": "--no-deprecation"})
    assert function("--memory", "256M", "--env", "NODE_OPTIONS=--no-deprecation", args=["node", "-e", script])() == host.stdout.decode()


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_of_the_programs_own_is_kept(function, name):
    if not shutil.which(name, path="/usr/bin"):
        pytest.skip(f"{name} is not installed")
    host = subprocess.run(SEEDED[name], input=b"a\nb\n", capture_output=True, check=True)
    assert three(function("--memory", "256M", args=SEEDED[name])) == [host.stdout.decode()] * 3


@installed("perl")
def test_what_the_user_gives_a_hooks_variable_holds_too(place, function):
    run = function("--env", "PERL5OPT=-MList::Util=sum", args=["perl", "-e", "<STDIN>; print sum(1, 2), $ENV{PERL5OPT}, qq(\\n)"])
    assert run() == "3-MList::Util=sum\n"
    if shutil.which("lua5.4"):
        run = function("--env", "LUA_INIT=x = 5", args=["lua5.4", "-e", "io.read() print(x)"])
        assert run() == "5\n"


# ---- /proc and /sys ----

MACHINE = """
import json, os, re, resource, struct, sys
def text(path):
    with open(path) as file:
        return file.read()
sys.stdin.read()
os.chdir('/tmp')
memory = {name: int(kib) for name, kib in re.findall(r'^(\\w+): +(\\d+) kB$', text('/proc/meminfo'), re.M)}
status = {name: int(kib) for name, kib in re.findall(r'^(\\w+):\\s+(\\d+) kB$', text('/proc/self/status'), re.M)}
with open('/proc/self/auxv', 'rb') as file:
    auxiliary = dict(struct.iter_unpack('QQ', file.read()))
limits = {line[:25].strip(): line[26:47].strip() for line in text('/proc/self/limits').splitlines()}
page = os.sysconf('SC_PAGE_SIZE')
smaps = [re.findall(pattern, text('/proc/self/smaps'), re.M) for pattern in (r'^[0-9a-f]+-[0-9a-f]+ .*$', r'^Rss: +(\\d+) kB$')]
print(json.dumps({
    'total': [memory['MemTotal'] << 10, int(text('/sys/fs/cgroup/memory.max')), os.sysconf('SC_PHYS_PAGES') * page],
    'used': [status['VmRSS'], memory['MemTotal'] - memory['MemFree'], int(text('/proc/self/statm').split()[1]) * page >> 10,
             int(text('/sys/fs/cgroup/memory.current')) >> 10],
    'processors': [os.cpu_count(), len(os.sched_getaffinity(0)), text('/proc/cpuinfo').count('processor\\t:'), *(
        len(text(f'/sys/devices/system/cpu/{name}').split('-')) for name in ('online', 'possible', 'present')),
        int(text('/sys/fs/cgroup/cpu.max').split()[0]) // int(text('/sys/fs/cgroup/cpu.max').split()[1])],
    'cwd': [os.getcwd(), os.readlink('/proc/self/cwd'), os.path.realpath('/proc/self/cwd/.')],
    'page': [page, auxiliary[6]], 'user': [os.getuid(), auxiliary[11]],
    'files': [str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]), limits['Max open files']],
    'stack': [str(resource.getrlimit(resource.RLIMIT_STACK)[0]), limits['Max stack size']],
    'maps': [text('/proc/self/maps').count('-xp '), sum('-xp ' in line for line in smaps[0])],
    'pid': [str(os.getpid()), text('/proc/loadavg').split()[-1], text('/sys/fs/cgroup/cgroup.procs').strip()],
    'resident': [len(smaps[0]), len(smaps[1])],
    'descriptor': [text('/proc/self/fdinfo/0').split()[0], 'pos:'],
    'same': [sorted(set(os.listdir('/proc/self/fdinfo'))), sorted(set(os.listdir('/proc/self/fd')))],
}))
sys.stdout.flush()
for path in ('/proc/self/io', '/proc/vmstat', '/proc/net/dev', '/proc/self/net/dev', '/sys/fs/cgroup/cgroup.controllers',
             '/etc/os-release', '/etc/services', '/etc/resolv.conf', '/etc/nsswitch.conf'):
    assert text(path) or not os.path.exists(path), path
for name in ('/proc/self/fdinfo/99', '/proc/self/fdinfo/0/x'):
    try:
        text(name)
    except OSError:
        continue
    raise AssertionError(name)
"""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="python3 is not installed")
def test_proc_and_sys_agree_with_one_another_and_with_the_limit(function, backend):
    run = function("--memory", "150M", args=["/usr/bin/python3", "-I", "-c", MACHINE], backend=backend)
    for _ in range(2):
        answer = json.loads(run())
        assert answer.pop("total") == [150 << 20] * 3
        used = answer.pop("used")
        assert max(used) - min(used) < 2048 and min(used) > 4096, used  # the program allocates as it reads
        assert set(answer.pop("processors")) == {1}
        for name, values in answer.items():
            assert len({json.dumps(value) for value in values}) == 1, (name, values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thaw_is_a_boot_by_its_id(function, backend):
    run = function(args=[SHELL, "sh", "-c", "b=/proc/sys/kernel/random/boot_id; read x < $b; read y < $b; read r;"
                                            " read z < $b; read w < $b; echo $x $y $z $w"], backend=backend)
    first, second = run(b"\n").split(), run(b"\n").split()
    assert first[0] == first[1] == second[0] and first[2] == first[3] and second[2] == second[3]
    assert len({first[0], first[2], second[2]}) == 3
