# The example's services, for docker-compose.yml.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ pkg-config libssl-dev libsasl2-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tidings
# Not rust-toolchain.toml: the image is the toolchain, and lacks components that only development needs.
COPY Cargo.toml Cargo.lock ./
COPY macros macros
COPY src src
# The manifest names some of them.
COPY benches benches
COPY tests tests
COPY example_service example_service
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/tidings/target \
    cargo build --release --locked --package example_service \
    && cp target/release/example_service /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 tidings \
    && install -d -o tidings /data
COPY --from=build /usr/local/bin/example_service /usr/local/bin/
USER tidings
VOLUME /data
ENTRYPOINT ["example_service"]
