package provenance

import (
	"os/user"
	"strconv"
	"sync"
)

// names gives names to ids, each looked up once.
type names struct {
	mu            sync.Mutex
	users, groups map[uint32]string
}

// maxNames bounds each of the two.
const maxNames = 1024

func (n *names) user(uid uint32) string {
	return n.name(&n.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *names) group(gid uint32) string {
	return n.name(&n.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// name keeps only answers: an id without a name may get one. The lock is not held
// while it asks, which may go over a network.
func (n *names) name(known *map[uint32]string, id uint32, ask func(string) (string, error)) string {
	n.mu.Lock()
	name, ok := (*known)[id]
	n.mu.Unlock()
	if ok {
		return name
	}
	name, err := ask(strconv.FormatUint(uint64(id), 10))
	if err != nil {
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
