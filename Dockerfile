# Two stages: everything needed to compile, then only what runs. Pin the base by digest where you build for production.
ARG NODE_IMAGE=node:26-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.build.json ./
# Scripts stay off: the image brings its own Node, so the pinned development runtime is not needed here.
RUN npm ci --ignore-scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY LICENSE ./
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 7080 7090
STOPSIGNAL SIGTERM
# Asks the process itself and nothing outside it: an identity server that is down must not get the container killed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["node", "/app/dist/main.js", "wait", "--for", "live", "--max", "2s"]
# Diagnostic reports would hold the environment, SIGUSR1 would open a debugger: both off.
ENTRYPOINT ["node", "--report-exclude-env", "--disable-sigusr1", "/app/dist/main.js"]
CMD ["serve"]
