package impact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"maps"
	"slices"

	"gatehouse/access"
)

// digest is of all that somebody agrees to: the proposal, what it replaces, which
// invitations it breaks, and what becomes of whom by which ways, in full. It doesn't depend on when that was worked
// out.
func (p *Preview) digest() string {
	d := digester{sha256.New()}
	if err := json.NewEncoder(d).Encode([]any{p.change.Proposal, p.replaced(), p.Findings}); err != nil {
		panic(err) // they are made of texts
	}
	for _, v := range p.Unkept {
		d.text("unkept", string(v.ID))
	}
	for i := range p.People {
		person := &p.People[i]
		d.text("person", string(person.User), string(person.Kind))
		for _, diff := range person.Differences {
			d.difference(&diff)
		}
	}
	return hex.EncodeToString(d.Sum(nil)[:16])
}

// replaced are the things as they are that the proposal changes or removes. What
// others do to one meanwhile may move nobody, and would be lost unseen.
func (p *Preview) replaced() (all []any) {
	c := p.change
	for _, product := range c.Products {
		was, _ := c.before.Product(product.ID)
		all = append(all, was)
	}
	for _, id := range c.RemoveProducts {
		was, _ := c.before.Product(id)
		all = append(all, was)
	}
	for _, site := range c.ChangeSites {
		was, _ := c.before.Site(site.ID)
		all = append(all, was)
	}
	for _, grant := range c.Change {
		was, _ := c.before.Grant(grant.ID)
		all = append(all, was)
	}
	return all
}

// digester writes texts one after the other, so that no two lists read the same.
type digester struct{ hash.Hash }

func (d digester) text(all ...string) {
	for _, s := range all {
		io.WriteString(d, s)
		d.Write([]byte{0})
	}
	d.Write([]byte{1})
}

func (d digester) difference(diff *access.Difference) {
	d.text(string(diff.Kind), string(diff.Product), string(diff.Permission), string(diff.Before), string(diff.After))
	for _, dimension := range slices.Sorted(maps.Keys(diff.Area)) {
		part := diff.Area[dimension]
		d.text(string(dimension), map[bool]string{true: "all"}[part.All])
		for _, sites := range [][]access.SiteID{part.Sites, part.Except} {
			for _, id := range sites {
				d.text(string(id))
			}
			d.text()
		}
	}
	for _, paths := range [][]access.Path{diff.Lost, diff.Gained, diff.Kept} {
		for _, path := range paths {
			d.text(string(path.Grant.ID), string(path.Level))
			for _, group := range path.Groups {
				d.text(string(group))
			}
		}
		d.text()
	}
}
