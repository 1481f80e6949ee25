# One image for every role: `tollgate gateway`, `ingest`, `worker`, `api`, `db migrate`.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
# Without the optional packages: the embedded Postgres is for a machine without containers.
RUN npm run build && npm prune --omit=dev --omit=optional --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
# The base image has the user `node` (1000). The data folder is his, also as a fresh volume.
RUN mkdir -p /data && chown node:node /data
COPY --from=build --chown=root:root /app/package.json /app/
COPY --from=build --chown=root:root /app/node_modules /app/node_modules
COPY --from=build --chown=root:root /app/dist /app/dist
COPY --from=build --chown=root:root /app/bin /app/bin
COPY --from=build --chown=root:root /app/migrations /app/migrations
COPY --from=build --chown=root:root /app/services /app/services
USER node
VOLUME /data
EXPOSE 2525 8080
ENTRYPOINT ["node", "/app/bin/tollgate.js"]
CMD ["--help"]
