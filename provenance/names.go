package provenance

import (
	"sync"

	"github.com/kmodtrace/kmodtrace/internal/usernames"
)

// names gives names to ids, each looked up once.
type names struct {
	mu            sync.Mutex
	users, groups map[uint32]string
}

// maxNames bounds each of the two.
const maxNames = 1024

func (n *names) user(uid uint32) string {
	return n.name(&n.users, uid, usernames.User)
}

func (n *names) group(gid uint32) string {
	return n.name(&n.groups, gid, usernames.Group)
}

// name keeps only answers: an id without a name may get one. The lock is not held
// while it asks, which may go over a network.
func (n *names) name(known *map[uint32]string, id uint32, ask func(uint32) string) string {
	n.mu.Lock()
	name, ok := (*known)[id]
	n.mu.Unlock()
	if ok {
		return name
	}
	if name = ask(id); name == "" {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if *known == nil || len(*known) >= maxNames {
		*known = make(map[uint32]string)
	}
	(*known)[id] = name
	return name
}
