#!/bin/bash
# Runs as a unit inside the container of systemd-boot.interop.ts. Each file in /results is what one step said; NAME.code is its
# exit code. The end powers off, whatever happened.
trap 'ls /results >/results/names; systemctl --no-block poweroff' EXIT
here=/usr/lib/sidekey-probe
module=/usr/lib/sidekey/sidekey-pkcs11.so
pin=$(cat $here/pin)

see() { # name, command...
    timeout 60 "${@:2}" >"/results/$1" 2>&1
    echo $? >"/results/$1.code"
}
ready() { sidekey status --wait 15s >/dev/null; }
main_pid() { systemctl show --value -p MainPID "$1"; }
tool() { # user, arguments of pkcs11-tool...
    runuser -u "$1" -- pkcs11-tool --module $module "${@:2}"
}
make_pair() { tool www-data --login --pin "$pin" --keypairgen --key-type EC:prime256v1 --usage-sign --id "$1" --label "web$1"; }

# Eight threads of www-data work while "$@" is done to the service.
under_load() { # name, command...
    coproc load { runuser -u www-data -- $here/program $module "$pin" load 8 2>&1; }
    local in=${load[1]} out=${load[0]} pid=$load_pid line
    [ -n "$pid" ] || pid=$load_PID
    read -r -t 20 line <&"$out"
    sleep 0.5
    "${@:2}"
    ready
    sleep 0.5
    exec {in}>&-
    timeout 20 cat <&"$out" >"/results/$1"
    wait "$pid"
}

systemd-sysusers
systemd-tmpfiles --create sidekey.conf
see init sidekey init --system --token demo --pin-file $here/pin --so-pin-file $here/so-pin --allow user:www-data --allow uid:0
stat -c '%a %U %G %n' /etc/sidekey/sidekey.yaml /var/lib/sidekey/* >/results/modes
see enable systemctl enable --now sidekey.target
if [ "$(cat /results/enable.code)" != 0 ]; then
    { systemctl list-jobs; systemctl status 'sidekey*'; journalctl --no-pager -n 100; } >>/results/enable 2>&1
    exit
fi
see status sidekey status --wait 15s
see doctor sidekey doctor

www_data() {
    make_pair 01
    date >/tmp/message
    tool www-data --login --pin "$pin" --sign --mechanism ECDSA-SHA256 --id 01 --input-file /tmp/message --output-file /dev/null
}
www_data >/results/www-data 2>&1
tool nobody --list-token-slots >/results/nobody 2>&1
see ssh ssh-keygen -D $module
export SSH_ASKPASS=/usr/lib/sidekey-probe/askpass SSH_ASKPASS_REQUIRE=force
printf '#!/bin/sh\necho %s\n' "$pin" >$SSH_ASKPASS
chmod 755 $SSH_ASKPASS
see ssh-agent ssh-agent ssh-add -s $module
mkdir -p /etc/pkcs11/modules
echo "module: $module" >/etc/pkcs11/modules/sidekey.module
see p11-kit p11-kit list-modules

kill_main() { kill -9 "$(main_pid "$1")"; }
under_load restart systemctl restart sidekey.target
under_load killed-keeper kill_main sidekey-keeper.service
under_load killed-agent kill_main sidekey-agent.service
under_load killed-by-systemctl systemctl kill -s KILL sidekey-keeper.service sidekey-agent.service
for unit in sidekey-keeper.service sidekey-agent.service; do
    echo "$unit $(systemctl show --value -p NRestarts $unit)"
done >/results/restarts

for part in keeper agent; do
    pid=$(main_pid sidekey-$part.service)
    grep -hE '^(Uid|Seccomp|NoNewPrivs|CapEff):|^Max (core|locked)' /proc/$pid/status /proc/$pid/limits | sed "s/^/$part /"
done >/results/confined

# With the watchdog's time shortened: a keeper or agent that stands still is replaced.
for part in keeper agent; do
    mkdir -p /run/systemd/system/sidekey-$part.service.d
    printf '[Service]\nWatchdogSec=4\n' >/run/systemd/system/sidekey-$part.service.d/watchdog.conf
done
systemctl daemon-reload
systemctl restart sidekey.target && ready
stand_still() {
    local before=$(main_pid "$1")
    kill -STOP "$before"
    for _ in $(seq 200); do
        [ "$(main_pid "$1")" != "$before" ] && [ "$(main_pid "$1")" != 0 ] && return
        sleep 0.1
    done
    echo "$1 still stands"
}
for part in keeper agent; do
    stand_still sidekey-$part.service
    ready || echo "not ready after the $part stood still"
done >/results/stopped 2>&1
make_pair 04 >/results/replaced 2>&1
# Longer than the watchdog waits, with nothing to complain about.
before=$(main_pid sidekey-keeper.service)/$(main_pid sidekey-agent.service)
sleep 9
[ "$before" = "$(main_pid sidekey-keeper.service)/$(main_pid sidekey-agent.service)" ] || echo "restarted without need" >>/results/stopped
rm -r /run/systemd/system/sidekey-{keeper,agent}.service.d
systemctl daemon-reload
systemctl restart sidekey.target && ready

systemctl stop sidekey-keeper.service
make_pair 02 >/results/activated 2>&1

# The passphrase of the key file as a credential: another key file under it, and the unit told.
credential() {
    systemctl stop sidekey.target sidekey-agent sidekey-keeper
    rm -rf /etc/sidekey/sidekey.yaml /var/lib/sidekey/*
    install -m 0600 -o sidekey /dev/stdin /var/lib/sidekey/passphrase <<<'correct horse battery'
    sidekey init --system --token demo --pin-file $here/pin --so-pin-file $here/so-pin --passphrase-file /var/lib/sidekey/passphrase \
        --allow user:www-data --allow uid:0 &&
        mv /var/lib/sidekey/passphrase /etc/sidekey/passphrase && chown root /etc/sidekey/passphrase &&
        sed -i 's|^    passphrase-file: .*|    systemd-credential: sidekey.kek|' /etc/sidekey/sidekey.yaml &&
        mkdir -p /etc/systemd/system/sidekey-agent.service.d &&
        printf '[Service]\nLoadCredential=sidekey.kek:/etc/sidekey/passphrase\n' >/etc/systemd/system/sidekey-agent.service.d/kek.conf &&
        systemctl daemon-reload && systemctl start sidekey.target && ready && make_pair 03
}
credential >/results/credential 2>&1
echo $? >/results/credential.code

journalctl --no-pager -o cat -u 'sidekey*' >/results/journal
# Lines of systemd by their priority, those of ours by their level.
{
    journalctl --no-pager -o cat -p warning -u 'sidekey*'
    journalctl --no-pager -o cat -u 'sidekey*' | grep -E '"level":"(warn|error|fatal)"'
} | sort -u >/results/journal-warnings
