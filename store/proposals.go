package store

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/access"
)

// ProposalSaved stands in the log for all that was saved at once after somebody
// had looked at what it would do. Its subject is the key of that save.
const ProposalSaved = "proposal.saved"

// SavedProposal is the detail of ProposalSaved.
type SavedProposal struct {
	// Digest is of what was agreed to.
	Digest string `json:"digest"`
	// People is how many the preview told of, by what becomes of them.
	People map[access.DifferenceKind]int `json:"people,omitempty"`
	// Grants are those that were made.
	Grants []access.GrantID `json:"grants,omitempty"`
	// Undoes is the change that was undone; may be empty.
	Undoes ChangeID `json:"undoes,omitempty"`
	// Parts are the changes that it consists of.
	Parts []ChangeID `json:"parts"`
}

// NewProposalKey makes a key under which a proposal can be saved once.
func NewProposalKey() string { return newID() }

// LogProposal logs all that the transaction has changed so far as the parts of
// one. The key must be new: ask Proposal first, under the lock of the policy.
func (tx *Tx) LogProposal(key string, saved SavedProposal) (ChangeID, error) {
	if !validID(key) {
		return "", fmt.Errorf("proposal %q: %w: no key of a proposal", key, ErrInvalid)
	}
	saved.Parts = make([]ChangeID, len(tx.changes))
	for i, c := range tx.changes {
		saved.Parts[i] = c.ID
	}
	return tx.log(ProposalSaved, subject{kind: "proposal", id: key}, saved), nil
}

// Proposal gives the change that a proposal was saved with. ErrNotFound when
// nothing was saved under that key.
func (r reader) Proposal(ctx context.Context, tenant TenantID, key string) (Change, SavedProposal, error) {
	var found []Change
	var saved SavedProposal
	if !validID(key) {
		return Change{}, saved, fmt.Errorf("proposal %q: %w", key, ErrNotFound)
	}
	err := r.list(ctx, &found, `SELECT `+changeSelection+` FROM changes WHERE tenant_id = ? AND subject_id = ? AND action = ?
		ORDER BY id LIMIT 1`, tenant, key, ProposalSaved)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Change{}, saved, fmt.Errorf("proposal %s: %w", key, err)
	}
	return found[0], saved, json.Unmarshal([]byte(found[0].Detail), &saved)
}
