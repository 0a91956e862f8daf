module prism.local/weaviate

go 1.26

require github.com/weaviate/weaviate v1.39.2

tool github.com/weaviate/weaviate/cmd/weaviate-server
