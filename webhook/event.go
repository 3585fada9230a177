package webhook

import (
	"encoding/json"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// The types of event. docs/webhooks.md says what products can rely on.
const (
	// UserDeactivated says that an account has ended, for whatever reason: everything
	// of that person's has to end.
	UserDeactivated = "user.deactivated"
	// AccessChanged says what somebody gained and lost in a product, and what she has
	// now.
	AccessChanged = "access.changed"
)

// event is the body of a message (Standard Webhooks: type, timestamp, data).
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// deactivated is the data of UserDeactivated.
type deactivated struct {
	Product access.ProductID `json:"product"`
	User    user             `json:"user"`
}

// changed is the data of AccessChanged.
type changed struct {
	Product access.ProductID `json:"product"`
	User    user             `json:"user"`
	// Changes is the difference to what was told before.
	Changes []change `json:"changes"`
	// Access is all that the person has in the product now, so that a product which
	// missed something is right again.
	Access []item `json:"access"`
}

type user struct {
	ID         store.UserID `json:"id"`
	UserName   string       `json:"userName"`
	ExternalID string       `json:"externalId,omitempty"`
	// Active says whether the account is live.
	Active  bool `json:"active"`
	Deleted bool `json:"deleted,omitempty"`
}

// change is what became of a permission in an area; the words are those of
// access.Difference.
type change struct {
	Kind       access.DifferenceKind `json:"kind"`
	Permission access.PermissionID   `json:"permission"`
	Before     access.Level          `json:"before,omitempty"`
	After      access.Level          `json:"after,omitempty"`
	Area       area                  `json:"area,omitempty"`
}

// item is a permission that somebody has at a level in an area.
type item struct {
	Permission access.PermissionID `json:"permission"`
	Level      access.Level        `json:"level"`
	Area       area                `json:"area,omitempty"`
}

// area is access.Area with sites by the keys that the product calls them.
type area map[access.DimensionID]part

type part struct {
	All    bool   `json:"all,omitempty"`
	Sites  []site `json:"sites,omitempty"`
	Except []site `json:"except,omitempty"`
}

type site struct {
	ID  access.SiteID `json:"id"`
	Key string        `json:"key,omitempty"`
}

// areaOf names the sites of an area by the first of the policies that has them.
func areaOf(a access.Area, policies ...*access.Policy) area {
	named := func(ids []access.SiteID) []site {
		var sites []site
		for _, id := range ids {
			s := site{ID: id}
			for _, p := range policies {
				if found, ok := p.Site(id); ok {
					s.Key = found.Key
					break
				}
			}
			sites = append(sites, s)
		}
		return sites
	}
	all := make(area, len(a))
	for dimension, p := range a {
		all[dimension] = part{All: p.All, Sites: named(p.Sites), Except: named(p.Except)}
	}
	return all
}

// changesIn are the differences of a product that change a level.
func changesIn(product access.ProductID, differences []access.Difference, before, after *access.Policy) []change {
	var all []change
	for _, d := range differences {
		if d.Product == product && d.Kind != access.Keeps {
			all = append(all, change{Kind: d.Kind, Permission: d.Permission, Before: d.Before, After: d.After, Area: areaOf(d.Area, after, before)})
		}
	}
	return all
}

// itemsIn are what somebody has in a product.
func itemsIn(product access.ProductID, held access.Held, p *access.Policy) []item {
	all := []item{}
	for _, i := range held.Items {
		if i.Product == product {
			all = append(all, item{Permission: i.Permission, Level: i.Level, Area: areaOf(i.Area, p)})
		}
	}
	return all
}

// message makes the text that is signed and sent.
func message(kind string, at time.Time, data any) (string, error) {
	text, err := json.Marshal(event{Type: kind, Timestamp: at.UTC(), Data: data})
	return string(text), err
}
