package prism

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	lru "github.com/hashicorp/golang-lru"

	"prism.local/weaviate/prismv1"
)

// At some 250 bytes each, 16 MB.
const keptDigests = 1 << 16

// keptMedia knows which media the service keeps, so that the documents of a search need not carry them: the same
// pictures come up in many searches, and 100 of 100 kB are 10 MB to decode, send and read.
type keptMedia struct {
	models  sync.Map   // those for which the service keeps media, by their latest answers
	digests *lru.Cache // by keptKey
}

// keptKey: what one model has seen, another one may not.
type keptKey struct{ model, digest string }

func newKeptMedia() *keptMedia {
	digests, err := lru.New(keptDigests)
	if err != nil {
		panic(err) // of a size below 1
	}
	return &keptMedia{digests: digests}
}

// sending makes the media of one call's documents: digests of what the service keeps, the bytes of all else.
type sending struct {
	kept  *keptMedia
	model string
	// The keys of parts: of those that go as digests, since the service keeps the media, and of those that go as bytes.
	assumed, fresh map[*prismv1.Part]keptKey
}

func (k *keptMedia) sending(model string) *sending {
	return &sending{k, model, map[*prismv1.Part]keptKey{}, map[*prismv1.Part]keptKey{}}
}

func (s *sending) part(modality prismv1.Modality, value string) (*prismv1.Part, error) {
	if _, keeps := s.kept.models.Load(s.model); !keeps {
		return mediaPart(modality, value)
	}
	text, err := base64Text(value)
	if err != nil {
		return nil, err
	}
	key := keptKey{s.model, digestOf(text)}
	if _, ok := s.kept.digests.Get(key); ok {
		made := digestPart(modality, key.digest)
		s.assumed[made] = key
		return made, nil
	}
	made, err := mediaPart(modality, text)
	if err == nil {
		s.fresh[made] = key
	}
	return made, err
}

// answered learns from the service's answer what it keeps now. Documents at the positions returned could not be scored
// and are to be sent again: it may have dropped their media meanwhile.
func (s *sending) answered(documents []*prismv1.Item, response *prismv1.RerankResponse) (again []int) {
	if response.GetKeepsMedia() {
		s.kept.models.Store(s.model, nil)
	} else {
		s.kept.models.Delete(s.model)
	}
	failed := map[int]bool{}
	for _, each := range response.GetErrors() {
		failed[int(each.GetIndex())] = true
	}
	for i, document := range documents {
		switch {
		case failed[i] || i < len(response.GetScores()) && response.GetScores()[i] == lowestScore:
			if s.forget(document) {
				again = append(again, i)
			}
		case response.GetKeepsMedia():
			s.remember(document)
		}
	}
	return again
}

func (s *sending) remember(document *prismv1.Item) {
	for _, part := range document.GetParts() {
		if key, ok := s.fresh[part]; ok {
			s.kept.digests.Add(key, nil)
		}
	}
}

// forget tells whether there is more of a document to send than digests; those of blobHash properties are all there is.
func (s *sending) forget(document *prismv1.Item) (more bool) {
	for _, part := range document.GetParts() {
		if key, ok := s.assumed[part]; ok {
			s.kept.digests.Remove(key)
			more = true
		}
	}
	return more
}

// digestOf is what Weaviate keeps of a blobHash property, and what the service calls media by.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
