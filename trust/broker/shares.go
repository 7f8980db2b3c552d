package broker

import (
	"crypto/hpke"
	"fmt"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

const shareDomain = "cloister.share-to-broker.v1"

func shareInfo(broker, owner, purpose string) []byte {
	return canonical([]byte(shareDomain), []byte(broker), []byte(owner), []byte(purpose))
}

// maxWrappedShare bounds a share that was wrapped.
const maxWrappedShare = 4 << 10

// WrapShare wraps an owner's share to the HPKE public key of a broker whose
// evidence the owner appraised.
func WrapShare(publicKey []byte, s *shares.Share) ([]byte, error) {
	kem, kdf, aead := suite()
	to, err := kem.NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("the broker's public key: %w", err)
	}
	text := s.Encode()
	defer text.Zero()
	return hpke.Seal(to, kdf, aead, shareInfo(s.Set.Broker, s.Set.Owner, s.Set.Purpose), text.Expose())
}

// openShare opens a share of an owner. The caller zeroes it.
func openShare(key hpke.PrivateKey, broker, owner, purpose string, wrapped []byte) (*shares.Share, error) {
	if len(wrapped) > maxWrappedShare {
		return nil, refuse(CodeMalformed, "a share of %d bytes", len(wrapped))
	}
	_, kdf, aead := suite()
	plain, err := hpke.Open(key, kdf, aead, shareInfo(broker, owner, purpose), wrapped)
	if err != nil {
		return nil, refuse(CodeForbidden, "a share does not open: it was changed, or wrapped for another broker, owner or purpose")
	}
	text := secret.Take(plain)
	defer text.Zero()
	s, err := shares.Parse(text)
	if err != nil {
		return nil, refuse(CodeMalformed, "%w", err)
	}
	if s.Set.Broker != broker || s.Set.Owner != owner || s.Set.Purpose != purpose {
		s.Value.Zero()
		return nil, refuse(CodeForbidden, "the share is one for %s of owner %.64s of broker %.64s, not for %s of %s of %s", s.Set.Purpose, s.Set.Owner, s.Set.Broker, purpose, owner, broker)
	}
	return s, nil
}

// recover opens an owner's keys by recovery shares.
func (s *Server) recover(tx *store.Tx, o *Order) error {
	if len(o.Shares) > shares.MaxRecipients {
		return refuse(CodeMalformed, "%d shares, of at most %d", len(o.Shares), shares.MaxRecipients)
	}
	var given []*shares.Share
	defer func() {
		for _, share := range given {
			share.Value.Zero()
		}
	}()
	for _, wrapped := range o.Shares {
		share, err := openShare(s.hpke, s.vault.Broker(), string(o.Owner), shares.Recovery, wrapped)
		if err != nil {
			return err
		}
		given = append(given, share)
	}
	return badRequest(s.vault.Recover(tx, string(o.Owner), given))
}
