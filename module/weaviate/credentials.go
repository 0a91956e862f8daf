package prism

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// transport returns TLS, with a client certificate where there is one, or plaintext.
func (e environment) transport() (credentials.TransportCredentials, error) {
	if !e.tls {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.serverName}
	if e.ca != "" {
		pem, err := os.ReadFile(e.ca)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variableCA, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s holds no PEM certificate", variableCA, e.ca)
		}
	}
	if e.cert != "" {
		if _, err := e.clientCertificate(nil); err != nil {
			return nil, err
		}
		config.GetClientCertificate = e.clientCertificate
	}
	return credentials.NewTLS(config), nil
}

// clientCertificate is read for every new connection, so that renewed files need no restart of Weaviate.
func (e environment) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(e.cert, e.key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", variableCert, variableKey, err)
	}
	return &pair, nil
}

// bearer sends the API key with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false: on a unix socket, on loopback, or behind a mesh that encrypts, the way is safe
// without TLS of our own. readEnvironment refuses the key on any other way unless the user says that it is safe.
func (b bearer) RequireTransportSecurity() bool { return false }
