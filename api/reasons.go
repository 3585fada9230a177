package api

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
)

// Texts are one text in several languages, by their BCP 47 tags.
type Texts map[string]string

// words is the context of a decision that was asked to be explained: for the person
// who wanted something, and for those who could change the answer.
type words struct {
	Reason      access.Reason `json:"reason"`
	ReasonUser  Texts         `json:"reason_user"`
	ReasonAdmin Texts         `json:"reason_admin"`
}

// phrase is what a reason means: to the person, who needs to know whom to ask, and
// to an administrator, who needs to know what to mend.
type phrase struct{ userEN, userNL, adminEN, adminNL string }

const (
	askEN   = "You don't have access to this. Ask an administrator of your organisation."
	askNL   = "U hebt hier geen toegang toe. Vraag een beheerder van uw organisatie."
	wrongEN = "The application asked about something that isn't known here. Tell its administrators."
	wrongNL = "De toepassing vroeg naar iets dat hier niet bekend is. Meld het aan de beheerders ervan."
)

var phrases = map[access.Reason]phrase{
	granted:                  {"You have access.", "U hebt toegang.", "A grant gives this.", "Een toekenning geeft dit."},
	access.UnknownProduct:    {wrongEN, wrongNL, "There is no such product.", "Dit product bestaat niet."},
	access.UnknownPermission: {wrongEN, wrongNL, "The product has no such permission.", "Het product heeft dit recht niet."},
	access.UnknownLevel:      {wrongEN, wrongNL, "The product has no such level, or the action names none.", "Het product heeft dit niveau niet, of de actie noemt er geen."},
	access.UnknownDimension:  {wrongEN, wrongNL, "The product has no such dimension.", "Het product heeft deze dimensie niet."},
	access.UnknownSite:       {wrongEN, wrongNL, "There is no such site in this dimension.", "Deze locatie bestaat niet in deze dimensie."},
	access.ArchivedSite: {"This place is closed.", "Deze plaats is gesloten.",
		"The site, or one above it, is archived.", "De locatie, of een locatie erboven, is gearchiveerd."},
	access.AmbiguousAction: {wrongEN, wrongNL, "The name of the action can be read as two permissions.", "De naam van de actie kan twee rechten betekenen."},
	access.AmbiguousSite:   {wrongEN, wrongNL, "The name of the site stands for two of them: ask by id.", "De naam van de locatie staat voor twee locaties: vraag met het id."},
	access.UnknownPerson: {"You are not known here. Ask an administrator of your organisation.", "U bent hier niet bekend. Vraag een beheerder van uw organisatie.",
		"There is nobody of that id, user name or e-mail address: is she assigned to Gatehouse in the identity provider?",
		"Er is niemand met dit id, deze gebruikersnaam of dit e-mailadres: is de persoon in de identityprovider aan Gatehouse toegewezen?"},
	unknownGroup:     {wrongEN, wrongNL, "There is no group of that id or name.", "Er is geen groep met dit id of deze naam."},
	ambiguousSubject: {wrongEN, wrongNL, "Several have that name: ask by id.", "Meerdere hebben deze naam: vraag met het id."},
	unknownSubjectType: {wrongEN, wrongNL, "Subjects are of the type user or group.",
		"Een subject is van het type user of group."},
	access.NotActive: {"Your account is not active. Ask your organisation's IT department.", "Uw account is niet actief. Vraag de IT-afdeling van uw organisatie.",
		"The identity provider says that the account is not active.", "Volgens de identityprovider is het account niet actief."},
	access.LoginBlocked: {"Your account is blocked. Ask an administrator of your organisation.", "Uw account is geblokkeerd. Vraag een beheerder van uw organisatie.",
		"The account was blocked in Gatehouse.", "Het account is in Gatehouse geblokkeerd."},
	access.AccountExpired: {"Your account has expired. Ask an administrator of your organisation.", "Uw account is verlopen. Vraag een beheerder van uw organisatie.",
		"The account's end has come.", "De einddatum van het account is bereikt."},
	access.NoInstant: {wrongEN, wrongNL, "The question was about no time at all.", "De vraag ging over geen enkel tijdstip."},
	access.Denied: {"This was taken away from you here. Ask an administrator of your organisation.", "Dit is u hier ontzegd. Vraag een beheerder van uw organisatie.",
		"A deny takes it away, whatever else is granted.", "Een weigering neemt dit weg, wat er verder ook is toegekend."},
	access.GrantExpired: {"Your access to this has ended. Ask an administrator of your organisation.", "Uw toegang hiertoe is verlopen. Vraag een beheerder van uw organisatie.",
		"The grant has ended.", "De toekenning is verlopen."},
	access.NotYetValid: {"Your access to this has yet to begin.", "Uw toegang hiertoe moet nog ingaan.",
		"The grant has yet to begin.", "De toekenning moet nog ingaan."},
	access.OtherSite: {"You have access to this at other places, not here. Ask an administrator of your organisation.",
		"U hebt hier elders toegang toe, maar niet op deze plaats. Vraag een beheerder van uw organisatie.",
		"It is granted for other places.", "Het is voor andere plaatsen toegekend."},
	access.LevelTooLow: {"You have less access here than this needs. Ask an administrator of your organisation.",
		"U hebt hier minder toegang dan hiervoor nodig is. Vraag een beheerder van uw organisatie.",
		"Less of it is granted.", "Er is minder van toegekend."},
	access.Masked: {askEN, askNL, "The grant leaves this permission out.", "De toekenning laat dit recht weg."},
	access.UnknownRole: {askEN, askNL, "The grant names a role that isn't there any more.",
		"De toekenning noemt een rol die er niet meer is."},
	access.PersonalRole:     {askEN, askNL, "The role is for single people, and was granted to a group.", "De rol is voor afzonderlijke personen en is aan een groep toegekend."},
	access.NoScope:          {askEN, askNL, "The grant says nowhere.", "De toekenning noemt geen plaats."},
	access.DimensionLeftOut: {askEN, askNL, "The grant says nothing about one of the product's dimensions.", "De toekenning zegt niets over een van de dimensies van het product."},
	access.MaskedDeny:       {askEN, askNL, "The mask of a deny is not followed.", "Het masker van een weigering wordt niet gevolgd."},
	access.NotMember:        {askEN, askNL, "The grant is for a group that the person isn't in.", "De toekenning is voor een groep waar de persoon niet in zit."},
	access.NothingGrants:    {askEN, askNL, "No grant gives this to anybody.", "Geen enkele toekenning geeft dit."},
	access.NotGranted:       {askEN, askNL, "None of the person's grants gives this.", "Geen van de toekenningen van de persoon geeft dit."},
}

// inWords explains a verdict.
func (d *decider) inWords(k *known, q access.Question, v verdict, at time.Time) (*words, error) {
	said := phrases[v.reason]
	w := &words{ReasonUser: Texts{"en": said.userEN, "nl": said.userNL}, ReasonAdmin: Texts{"en": said.adminEN, "nl": said.adminNL}}
	if k.policy == nil || q.Place == nil {
		return w, nil // there is nothing to look into
	}
	e := k.policy.Explain(k.subject, q, at)
	names, err := d.store.Names(d.Context(), d.key.TenantID, nil, groupsIn(e))
	if err != nil {
		return nil, err
	}
	tell := teller{k.policy, names}
	for _, path := range e.Through {
		tell.path(w.ReasonAdmin, path)
	}
	for _, missing := range e.Missing {
		for _, reason := range missing.Reasons {
			if reason != v.reason {
				w.ReasonAdmin.add(phrases[reason].adminEN, phrases[reason].adminNL)
			}
		}
		if missing.Path != nil {
			tell.path(w.ReasonAdmin, *missing.Path)
		}
	}
	return w, nil
}

func (t Texts) add(en, nl string) {
	t["en"] += " " + en
	t["nl"] += " " + nl
}

// groupsIn are the groups that an explanation speaks of.
func groupsIn(e access.Explanation) []access.GroupID {
	all := map[access.GroupID]bool{}
	for _, path := range e.Through {
		for _, g := range path.Groups {
			all[g] = true
		}
	}
	for _, missing := range e.Missing {
		if missing.Path != nil {
			for _, g := range missing.Path.Groups {
				all[g] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// teller writes paths as people read them.
type teller struct {
	policy *access.Policy
	names  map[string]string
}

// path says which grant it is: what it gives, where, and through which groups.
func (t teller) path(w Texts, path access.Path) {
	g := path.Grant
	what := strings.TrimSpace(string(g.Role) + " " + string(g.Permission) + " " + string(g.Level))
	var groups []string
	for _, id := range path.Groups {
		name := t.names[string(id)]
		if name == "" {
			name = string(id)
		}
		groups = append(groups, name)
	}
	en, nl := "Grant ", "Toekenning "
	if g.Effect == access.Deny {
		en, nl = "Deny ", "Weigering "
	}
	en += string(g.ID) + ": " + what + t.where(g.Scope, " everywhere", " at ")
	nl += string(g.ID) + ": " + what + t.where(g.Scope, " overal", " op ")
	switch {
	case len(groups) > 0:
		chain := strings.Join(groups, " → ")
		en, nl = en+", through the group "+chain, nl+", via de groep "+chain
	case g.Subject.Everyone:
		en, nl = en+", to everyone", nl+", aan iedereen"
	default:
		en, nl = en+", to the person", nl+", aan de persoon"
	}
	w.add(en+".", nl+".")
}

// maxNamed bounds how many sites of a grant are named.
const maxNamed = 5

func (t teller) where(scope access.Scope, everywhere, at string) string {
	if scope.Everywhere {
		return everywhere
	}
	var all []string
	for _, dimension := range slices.Sorted(maps.Keys(scope.Sites)) {
		selection := scope.Sites[dimension]
		text := string(dimension) + " "
		if selection.All {
			text += "ALL"
		}
		for i, id := range selection.Sites {
			if i == maxNamed {
				text += ", …"
				break
			}
			if i > 0 {
				text += ", "
			}
			site, _ := t.policy.Site(id)
			text += site.Name
			if site.Name == "" {
				text += string(id)
			}
		}
		all = append(all, text)
	}
	return at + strings.Join(all, "; ")
}
