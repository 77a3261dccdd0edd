#!/bin/bash
# image.sh FOLDER CHECKOUT NODE NPM: builds the checkout's Dockerfile with buildah, in FOLDER. The two base images are made here,
# since only package registries can be reached: Debian by debootstrap, and the same with this program and this package, as
# node:24-bookworm-slim has them.
set -euo pipefail
folder=$1 checkout=$2 node_program=$3 npm_package=$4
debian=docker.io/library/debian:bookworm-slim
node=docker.io/library/node:24-bookworm-slim
bud() { buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"; }

make_debian() {
    debootstrap --variant=minbase bookworm "$folder/root" http://deb.debian.org/debian >"$folder/debootstrap.log" ||
        { tail -n 3 "$folder/debootstrap.log" >&2; return 1; }
    rm -rf "$folder/root/var/lib/apt/lists"/* "$folder/root/var/cache/apt/archives"/*.deb
    local container
    container=$(bud from scratch)
    bud add -q "$container" "$folder/root" / >/dev/null
    bud commit -q --rm "$container" $debian >/dev/null
    rm -rf "$folder/root"
}

make_node() {
    local container inside=/usr/local/lib/node_modules
    container=$(bud from --pull-never $debian)
    bud copy -q "$container" "$node_program" /usr/local/bin/node >/dev/null
    bud copy -q "$container" "$npm_package" $inside/npm >/dev/null
    bud run "$container" -- ln -s $inside/npm/bin/npm-cli.js /usr/local/bin/npm
    bud run "$container" -- ln -s $inside/npm/bin/npx-cli.js /usr/local/bin/npx
    # A developer's network may have an authority of its own.
    if [ -n "${NODE_EXTRA_CA_CERTS-}" ]; then
        bud copy -q "$container" "$NODE_EXTRA_CA_CERTS" /etc/extra-ca.crt >/dev/null
        bud config --env NODE_EXTRA_CA_CERTS=/etc/extra-ca.crt "$container"
    fi
    bud commit -q --rm "$container" $node >/dev/null
}

make_debian
make_node
bud bud -q --pull-never --tag sidekey "$checkout" >"$folder/build.log" 2>&1 || { tail -n 20 "$folder/build.log" >&2; exit 1; }
