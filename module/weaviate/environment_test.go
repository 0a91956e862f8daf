package prism

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultsOfTheEnvironment(t *testing.T) {
	t.Setenv(variableAddress, "prism:8091")
	e, err := readEnvironment()
	if err != nil || e.timeout != 50*time.Second || e.queryTimeout != 10*time.Second || !e.wait || e.tls {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestTheEnvironmentIsReadStrictly(t *testing.T) {
	for name, c := range map[string]struct {
		variables map[string]string
		want      string // empty: accepted
	}{
		"no address":        {map[string]string{variableAddress: ""}, "PRISM_MODULE_ADDRESS is not set"},
		"URL":               {map[string]string{variableAddress: "http://prism:8091"}, `PRISM_MODULE_ADDRESS="http://prism:8091": want host:port or unix:///path`},
		"no port":           {map[string]string{variableAddress: "prism"}, "PRISM_MODULE_ADDRESS"},
		"port name":         {map[string]string{variableAddress: "prism:grpc"}, "PRISM_MODULE_ADDRESS"},
		"relative socket":   {map[string]string{variableAddress: "unix://prism.sock"}, "PRISM_MODULE_ADDRESS"},
		"socket":            {map[string]string{variableAddress: "unix:///run/prism.sock"}, ""},
		"IPv6":              {map[string]string{variableAddress: "[::1]:8091"}, ""},
		"timeout":           {map[string]string{variableTimeout: "fast"}, `PRISM_MODULE_TIMEOUT="fast"`},
		"seconds":           {map[string]string{variableTimeout: "75"}, ""},
		"zero":              {map[string]string{variableQuery: "0"}, `PRISM_MODULE_QUERY_TIMEOUT="0"`},
		"wait":              {map[string]string{variableWait: "perhaps"}, `PRISM_MODULE_WAIT_FOR_STARTUP="perhaps": want true or false`},
		"half a pair":       {map[string]string{variableCert: "c.pem"}, "PRISM_MODULE_TLS_CERT and PRISM_MODULE_TLS_KEY go together"},
		"contradiction":     {map[string]string{variableTLS: "false", variableCA: "ca.pem"}, "contradicts"},
		"key with newline":  {map[string]string{variableAPIKey: "secret\n", variableTLS: "true"}, "PRISM_MODULE_API_KEY holds a character"},
		"key in the clear":  {map[string]string{variableAPIKey: "secret"}, "in the clear"},
		"key, safe network": {map[string]string{variableAPIKey: "secret", variableTLS: "false"}, ""},
		"key, TLS":          {map[string]string{variableAPIKey: "secret", variableTLS: "true"}, ""},
		"key, loopback":     {map[string]string{variableAPIKey: "secret", variableAddress: "127.0.0.1:8091"}, ""},
		"key, socket":       {map[string]string{variableAPIKey: "secret", variableAddress: "unix:///run/prism.sock"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variableAddress, "prism:8091")
			for variable, value := range c.variables {
				t.Setenv(variable, value)
			}
			_, err := readEnvironment()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

func TestAnyVariableOfTLSTurnsItOn(t *testing.T) {
	t.Setenv(variableAddress, "prism:8091")
	t.Setenv(variableHostname, "prism.internal")
	if e, err := readEnvironment(); err != nil || !e.tls {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestUnknownVariablesAreListed(t *testing.T) {
	t.Setenv(variableAddress, "prism:8091")
	t.Setenv("PRISM_MODULE_TIMEOUTS", "5s")
	e, err := readEnvironment()
	if err != nil || strings.Join(e.unknown, " ") != "PRISM_MODULE_TIMEOUTS" {
		t.Errorf("%v, %v", e.unknown, err)
	}
}
