# The server without the demo. Build: docker build -t wholly .
# Run: docker run -v wholly:/var/lib/wholly -v ./wholly.toml:/etc/wholly/wholly.toml:ro \
#        -p 7400:7400 wholly
# The log is created once, and by nothing else: docker run -v wholly:/var/lib/wholly wholly \
#   log init wholly.db
# In a container the server must listen on 0.0.0.0, and so it needs tokens or client certificates.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --no-default-features -p wholly-server

FROM debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/wholly --create-home wholly
COPY --from=build /src/target/release/wholly /usr/local/bin/wholly
USER wholly
# A volume that is not there is an error, and no new, empty log.
ENV WHOLLY_CREATE_LOG=false
WORKDIR /var/lib/wholly
VOLUME /var/lib/wholly
EXPOSE 7400
# SIGTERM is Docker's default; it waits 10 seconds unless told to wait longer: docker stop --time 30.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/wholly"]
CMD ["serve", "--config", "/etc/wholly/wholly.toml"]
