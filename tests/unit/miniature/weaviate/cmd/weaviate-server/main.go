// A miniature of Weaviate's server with the places that build.sh changes: registers, then judges its arguments.
package main

import (
	"fmt"
	"os"

	"github.com/weaviate/weaviate/adapters/handlers/rest"
	"github.com/weaviate/weaviate/usecases/objects/validation"
)

func main() {
	rest.Start()
	for _, blob := range os.Args[1:] {
		fmt.Println(blob, validation.Blob(blob))
	}
}
