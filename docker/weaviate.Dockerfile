# syntax=docker/dockerfile:1
# An unofficial build of Weaviate with Prism's modules inside. From the repository's root:
#   docker build -f docker/weaviate.Dockerfile -t weaviate-prism .
# --build-arg BUILD_FLAGS=--fast-blob-check replaces Weaviate's check of blobs.
ARG WEAVIATE_VERSION=1.39.2

FROM golang:1.26-alpine AS build
ARG WEAVIATE_VERSION
ARG BUILD_FLAGS=
COPY module/weaviate /src
COPY docker/licenses.sh LICENSE /
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    /src/build.sh /weaviate $BUILD_FLAGS \
 && /licenses.sh /weaviate /licenses \
 && mv /LICENSE /licenses/prism-LICENSE \
 && cp "$(go env GOROOT)/LICENSE" /licenses/go-LICENSE

# Weaviate's own image keeps its entry point, certificates and the dictionaries of its tokenizers.
FROM semitechnologies/weaviate:${WEAVIATE_VERSION}
COPY --from=build /weaviate /bin/weaviate
COPY --from=build /licenses /licenses
ENV ENABLE_MODULES=multi2vec-prism,reranker-prism
LABEL org.opencontainers.image.title="Weaviate with Prism's modules (unofficial build)" \
      org.opencontainers.image.licenses="BSD-3-Clause AND Apache-2.0"
