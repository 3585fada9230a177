// Package access is the pure core: what a person may do, in which product, at
// which sites, and why. It uses the standard library only and knows neither
// database nor HTTP; the edges and the store speak its words.
//
//	for _, role := range access.ConsoleRoles {
//		fmt.Println(role.Name, role.Title)
//	}
package access

// Role is a named bundle of permissions in a product.
type Role struct {
	// Name is the stable key, in lower case; Title is what people read.
	Name  string
	Title string
}

// ConsoleRoles are the roles of Gatehouse's own product, console, from the most
// powerful to the least.
var ConsoleRoles = []Role{
	{Name: "owner", Title: "Owner"},
	{Name: "access-administrator", Title: "Access administrator"},
	{Name: "site-administrator", Title: "Site administrator"},
	{Name: "auditor", Title: "Auditor"},
}
