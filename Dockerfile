# The executable on a base that has C libraries and nothing else: no shell, no package manager, no Node, no npm to be found
# a weakness in.
# For production pin both bases by digest: --build-arg NODE_IMAGE=node:26-slim@sha256:… --build-arg RUNTIME_IMAGE=…@sha256:…
ARG NODE_IMAGE=node:26-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13

# On the machine's own platform, whatever the image is for: an executable can be built for another.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Scripts stay off: they only fetch the development runtime, and the build brings the Node it needs, held to a checksum.
RUN npm ci --ignore-scripts
COPY LICENSE ./
COPY deploy/package ./deploy/package
COPY deploy/executable ./deploy/executable
COPY src ./src
ARG TARGETARCH=amd64
RUN npm run build:sea -- linux-${TARGETARCH} && mv dist-sea/aritma-sidecar-linux-* dist-sea/aritma-sidecar
# Copied into the image below, so that they exist there with this owner.
RUN mkdir -p /tree/etc/aritma /tree/run/aritma /tree/var/log/aritma \
  && chown 10001:10001 /tree/run/aritma /tree/var/log/aritma

# Of the image's platform; nothing runs in it.
FROM ${NODE_IMAGE} AS libraries

FROM ${RUNTIME_IMAGE}
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aritma-sidecar" \
  org.opencontainers.image.description="A token-injecting reverse proxy: legacy programs call the Aritma APIs without knowing OAuth" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# What Node needs and this base lacks.
COPY --from=libraries /usr/lib/*-linux-gnu/libatomic.so.1* /usr/lib/
COPY --from=build /tree /
COPY --from=build /build/dist-sea/LICENSE /build/dist-sea/THIRD-PARTY.txt /build/dist-sea/sbom.cdx.json /usr/share/doc/aritma-sidecar/
COPY --from=build /build/dist-sea/aritma-sidecar /usr/local/bin/aritma-sidecar
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Where ./aritma-sidecar.yaml is looked for.
WORKDIR /etc/aritma
# The process gives up what it does not need: other files, child processes, threads, add-ons. /proc is its own figures and,
# for rotation, whether the holder of a lock is alive. Whoever sets NODE_OPTIONS (the heap's size, say) repeats these.
ENV NODE_OPTIONS="--permission --allow-net --disable-warning=ExperimentalWarning --allow-fs-read=/etc/aritma/* --allow-fs-read=/run/secrets/* --allow-fs-read=/var/run/secrets/* --allow-fs-read=/usr/local/bin/* --allow-fs-read=/proc/* --allow-fs-read=/run/aritma/* --allow-fs-write=/run/aritma/* --allow-fs-read=/var/log/aritma/* --allow-fs-write=/var/log/aritma/*"
# Several threads allocate, but seldom at once: heaps of their own would only hold memory.
ENV MALLOC_ARENA_MAX=1
EXPOSE 7080 7090
STOPSIGNAL SIGTERM
# Asks the process itself and nothing outside it: an identity server that is down must not get the container killed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/aritma-sidecar", "wait", "--for", "live", "--max", "2s"]
ENTRYPOINT ["/usr/local/bin/aritma-sidecar"]
CMD ["serve"]
