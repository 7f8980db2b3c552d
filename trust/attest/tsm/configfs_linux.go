package tsm

import (
	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/linuxtsm"
)

// Kernel returns the running kernel's configfs-tsm, nil if it has none.
func Kernel() configfsi.Client {
	client, err := linuxtsm.MakeClient()
	if err != nil {
		return nil
	}
	return client
}
