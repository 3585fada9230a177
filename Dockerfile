# docker build --build-arg VERSION=1.2.3 -t gatehouse .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make build VERSION="$VERSION" && mkdir /data

FROM scratch
# Certificates, to speak to identity providers over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# One static file for the health check: there is no shell in this image.
COPY --from=busybox:stable-musl /bin/wget /bin/wget
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build /src/bin/gatehouse /gatehouse

USER 65532:65532
ENV GATEHOUSE_LISTEN=:8080 GATEHOUSE_DATABASE_URL=sqlite:///data/gatehouse.db
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/livez"]
ENTRYPOINT ["/gatehouse"]
CMD ["serve"]
