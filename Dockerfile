# docs/install.md ("In a container") says how this image is built, set up and shared with applications.

# npm 11 (it knows allowScripts) runs on this image's Node; what is built and shipped is the Node that package-lock.json pins.
FROM node:24-bookworm-slim AS build
WORKDIR /usr/lib/sidekey
COPY package.json package-lock.json .npmrc .taprc ./
COPY scripts scripts
COPY native-shim native-shim
RUN sh scripts/setup
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --no-install-recommends -y ca-certificates libatomic1 libseccomp2 libssl3 libstdc++6 \
        $([ "$(dpkg --print-architecture)" != amd64 ] || echo libipsec-mb1) \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 sidekey \
    && useradd --uid 10001 --gid sidekey --home-dir /var/lib/sidekey --shell /usr/sbin/nologin sidekey \
    && install -d -o sidekey -g sidekey -m 0755 /run/sidekey \
    && install -d -o sidekey -g sidekey -m 0700 /var/lib/sidekey /var/log/sidekey /run/sidekey/keeper \
    && install -d -o root -g sidekey -m 0750 /etc/sidekey \
    && ln -s ../lib/sidekey/bin/sidekey /usr/bin/sidekey
WORKDIR /usr/lib/sidekey
COPY LICENSE package.json ./
COPY bin bin
COPY --from=build /usr/lib/sidekey/node_modules node_modules
COPY --from=build /usr/lib/sidekey/dist dist
COPY --from=build /usr/lib/sidekey/native-shim/build/peer.node native-shim/build/
# As scripts/install has them.
COPY --from=build \
    /usr/lib/sidekey/native-shim/build/sidekey-keeper \
    /usr/lib/sidekey/native-shim/build/sidekey-pkcs11.so \
    ./
USER sidekey
VOLUME ["/run/sidekey", "/var/lib/sidekey", "/var/log/sidekey"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s CMD ["sidekey", "status"]
ENTRYPOINT ["sidekey"]
CMD ["agent", "--config", "/etc/sidekey/sidekey.yaml"]
