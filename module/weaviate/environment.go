package prism

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	variablePrefix   = "PRISM_MODULE_"
	variableAddress  = variablePrefix + "ADDRESS"
	variableTimeout  = variablePrefix + "TIMEOUT"
	variableQuery    = variablePrefix + "QUERY_TIMEOUT"
	variableWait     = variablePrefix + "WAIT_FOR_STARTUP"
	variableAPIKey   = variablePrefix + "API_KEY"
	variableTLS      = variablePrefix + "TLS"
	variableCA       = variablePrefix + "TLS_CA"
	variableCert     = variablePrefix + "TLS_CERT"
	variableKey      = variablePrefix + "TLS_KEY"
	variableHostname = variablePrefix + "TLS_SERVER_NAME"
)

var variables = []string{
	variableAddress, variableTimeout, variableQuery, variableWait, variableAPIKey,
	variableTLS, variableCA, variableCert, variableKey, variableHostname,
}

// environment is what the modules are told by variables of Weaviate's process.
type environment struct {
	address      string        // host:port or unix:///path
	timeout      time.Duration // of inserts and reranks
	queryTimeout time.Duration // of query vectors
	wait         bool          // for the service, before Weaviate starts
	apiKey       string
	tls          bool
	ca           string // PEM files; empty: the system's roots, no client certificate
	cert, key    string
	serverName   string // expected in the certificate; empty: the address's host
	unknown      []string
}

// readEnvironment parses the variables strictly; its errors name the variable and the value.
func readEnvironment() (environment, error) {
	e := environment{
		address:    os.Getenv(variableAddress),
		apiKey:     os.Getenv(variableAPIKey),
		ca:         os.Getenv(variableCA),
		cert:       os.Getenv(variableCert),
		key:        os.Getenv(variableKey),
		serverName: os.Getenv(variableHostname),
	}
	var wrong [4]error
	// 50 s is Weaviate's own limit for module calls; for a query vector somebody waits, and clients give up after 30 s
	e.timeout, wrong[0] = duration(variableTimeout, 50*time.Second)
	e.queryTimeout, wrong[1] = duration(variableQuery, 10*time.Second)
	e.wait, wrong[2] = boolean(variableWait, true)
	parts := e.ca != "" || e.cert != "" || e.key != "" || e.serverName != ""
	e.tls, wrong[3] = boolean(variableTLS, parts)
	if err := errors.Join(wrong[:]...); err != nil {
		return e, err
	}
	if e.apiKey != "" && !e.tls && os.Getenv(variableTLS) == "" && !local(e.address) {
		return e, fmt.Errorf("%s would cross the network in the clear: set %s_*, or %s=false if the way to %s is safe",
			variableAPIKey, variableTLS, variableTLS, e.address)
	}
	if parts && !e.tls {
		return e, fmt.Errorf("%s=%s contradicts the other %s_* variables", variableTLS, os.Getenv(variableTLS), variableTLS)
	}
	if (e.cert == "") != (e.key == "") {
		return e, fmt.Errorf("%s and %s go together, only one is set", variableCert, variableKey)
	}
	for _, c := range []byte(e.apiKey) {
		if c <= ' ' || c > '~' { // gRPC would fail every call instead
			return e, fmt.Errorf("%s holds a character other than printable ASCII", variableAPIKey)
		}
	}
	e.unknown = unknownVariables(os.Environ())
	return e, checkAddress(e.address)
}

func checkAddress(address string) error {
	if address == "" {
		return fmt.Errorf("%s is not set: want host:port or unix:///path", variableAddress)
	}
	if path, ok := strings.CutPrefix(address, "unix://"); ok && strings.HasPrefix(path, "/") {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || host == "" {
		return fmt.Errorf("%s=%q: want host:port or unix:///path", variableAddress, address)
	}
	return nil
}

// local tells whether what is sent to the address stays on this machine.
func local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return strings.HasPrefix(address, "unix:") || err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// duration reads "50s", or "50" for seconds.
func duration(variable string, otherwise time.Duration) (time.Duration, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		value, err = time.ParseDuration(text + "s")
	}
	if err != nil || value <= 0 {
		return 0, fmt.Errorf("%s=%q: want a time above 0 such as 50s, or seconds", variable, text)
	}
	return value, nil
}

func boolean(variable string, otherwise bool) (bool, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s=%q: want true or false", variable, text)
	}
	return value, nil
}

// unknownVariables lists those with our prefix that mean nothing, mostly typing errors.
func unknownVariables(pairs []string) []string {
	var unknown []string
	for _, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, variablePrefix) && !slices.Contains(variables, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
