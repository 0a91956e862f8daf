package prism

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"prism.local/weaviate/prismv1"
)

// authority signs certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = sign(t, nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.file = writePEM(t, "CERTIFICATE", a.certificate.Raw)
	return a
}

func sign(t *testing.T, parent *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	issuer, issuerKey := template, key
	if parent != nil {
		issuer, issuerKey = parent.certificate, parent.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// issue returns the files of a certificate for "prism.test".
func (a *authority) issue(t *testing.T) (cert, key string) {
	t.Helper()
	certificate, private := sign(t, a, &x509.Certificate{
		DNSNames:    []string{"prism.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "CERTIFICATE", certificate.Raw), writePEM(t, "EC PRIVATE KEY", raw)
}

func writePEM(t *testing.T, kind string, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// secured starts a service with TLS on a free port; it wants client certificates of `clients` if that is not nil.
func secured(t *testing.T, server, clients *authority) (address string) {
	t.Helper()
	cert, key := server.issue(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.certificate)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	(&fakeService{}).serveOn(t, listener, grpc.Creds(credentials.NewTLS(config)))
	return listener.Addr().String()
}

func TestTLS(t *testing.T) {
	server, clients, stranger := newAuthority(t), newAuthority(t), newAuthority(t)
	cert, key := clients.issue(t)
	strangeCert, strangeKey := stranger.issue(t)
	for name, c := range map[string]struct {
		clients *authority
		env     environment
		want    string // in the error; empty: it works
	}{
		"server only":             {nil, environment{tls: true, ca: server.file, serverName: "prism.test"}, ""},
		"other name":              {nil, environment{tls: true, ca: server.file, serverName: "other.test"}, "other.test"},
		"other authority":         {nil, environment{tls: true, ca: stranger.file, serverName: "prism.test"}, "unknown authority"},
		"plaintext":               {nil, environment{}, "Unavailable"},
		"client certificate":      {clients, environment{tls: true, ca: server.file, serverName: "prism.test", cert: cert, key: key}, ""},
		"no client certificate":   {clients, environment{tls: true, ca: server.file, serverName: "prism.test"}, "Unavailable"},
		"strangers' certificate":  {clients, environment{tls: true, ca: server.file, serverName: "prism.test", cert: strangeCert, key: strangeKey}, "Unavailable"},
		"certificate not awaited": {nil, environment{tls: true, ca: server.file, serverName: "prism.test", cert: cert, key: key}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.env.address = secured(t, server, c.clients)
			err := dial(t, c.env).serving(t.Context(), "")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFilesThatCannotBeUsedAreErrorsThatNameTheVariable(t *testing.T) {
	cert, key := newAuthority(t).issue(t)
	for want, env := range map[string]environment{
		"PRISM_MODULE_TLS_CA: open":                     {ca: "/nowhere.pem"},
		"holds no PEM certificate":                      {ca: key},
		"PRISM_MODULE_TLS_CERT, PRISM_MODULE_TLS_KEY: ": {cert: cert, key: cert},
	} {
		env.address, env.tls = "127.0.0.1:1", true
		if _, err := newClient(env, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTheKeyTravelsWithEveryCall(t *testing.T) {
	path := socket(t)
	wanted := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			return nil, status.Errorf(codes.Unauthenticated, "no key: %v", got)
		}
		return next(ctx, request)
	}
	(&fakeService{}).listen(t, path, grpc.UnaryInterceptor(wanted))

	c := dial(t, environment{address: "unix://" + path, apiKey: "secret"})
	if _, err := c.meta(); err != nil {
		t.Error(err)
	}
	if _, err := c.vectorize(t.Context(), &prismv1.VectorizeRequest{Task: prismv1.Task_TASK_DOCUMENT}); err != nil {
		t.Error(err)
	}
	if _, err := dial(t, environment{address: "unix://" + path}).meta(); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		t.Error(err)
	}
}
