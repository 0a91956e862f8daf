package rest

import (
	"fmt"

	"github.com/weaviate/weaviate/adapters/handlers/rest/state"
)

// Start registers all modules.
func Start() {
	appState := &state.State{}
	appState.ServerConfig.Config.EnableModules = "multi2vec-prism"
	if err := registerModules(appState); err != nil {
		panic(err)
	}
}

func registerModules(_ *state.State) error {
	fmt.Println("stock modules")
	return nil
}
