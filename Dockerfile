# The worker as an image of Debian 12: built there, and run there without compilers.
FROM rust:1-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake pkg-config libssl-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /heartline
COPY Cargo.toml Cargo.lock topology.toml README.md ./
COPY schemas schemas
COPY src src
# The manifest names these targets; they are not built.
COPY examples examples
COPY integration-tests integration-tests
COPY campaign campaign
RUN cargo build --release --locked --bin heartline

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 heartline \
    && install -d -o heartline /var/lib/heartline
COPY --from=build /heartline/target/release/heartline /usr/local/bin/heartline
USER heartline
WORKDIR /var/lib/heartline
EXPOSE 7700
ENTRYPOINT ["heartline"]
CMD ["run"]
