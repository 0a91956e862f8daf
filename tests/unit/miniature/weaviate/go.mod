module github.com/weaviate/weaviate

go 1.26
