package parameter

const noGPU = "Cloister's engine runs on the processor only"

// network declares LightGBM's own distributed learning.
func network() []Parameter {
	return []Parameter{
		{
			Name: "num_machines", Aliases: []string{"num_machine"}, Type: Int, Default: "1", Bounds: []Bound{above(0)},
			Text:   "Machines that learn together.",
			Status: Refused, Reason: "Cloister's engine trains on one machine",
			Instead: "set num_machines=1 (cloister trainers, which will run LightGBM on many machines over mutual TLS, is not part of this version)",
		},
		{
			Name: "local_listen_port", Aliases: []string{"local_port", "port"},
			Type: Int, Default: "12400", Bounds: []Bound{above(0)},
			Text:   "Port on which this machine listens.",
			Status: Accepted, Reason: oneMachine,
		},
		{
			Name: "time_out", Type: Int, Default: "120", Bounds: []Bound{above(0)},
			Text:   "Minutes to wait for another machine.",
			Status: Accepted, Reason: oneMachine,
		},
		{
			Name: "machine_list_filename", Aliases: []string{"machine_list_file", "machine_list", "mlist"}, Type: String,
			Text:   "File with the address and port of every machine.",
			Status: Accepted, Reason: oneMachine,
		},
		{
			Name: "machines", Aliases: []string{"workers", "nodes"}, Type: String,
			Text:   "Addresses and ports of the machines.",
			Status: Accepted, Reason: oneMachine,
		},
	}
}

// gpu declares LightGBM's GPU learning.
func gpu() []Parameter {
	return []Parameter{
		{
			Name: "gpu_platform_id", Type: Int, Default: "-1",
			Text:   "OpenCL platform.",
			Status: Accepted, Reason: noGPU,
		},
		{
			Name: "gpu_device_id", Type: Int, Default: "-1",
			Text:   "Device of the platform.",
			Status: Accepted, Reason: noGPU,
		},
		{
			Name: "gpu_device_id_list", Type: String,
			Text:   "CUDA devices.",
			Status: Accepted, Reason: noGPU,
		},
		{
			Name: "gpu_use_dp", Type: Bool, Default: "false",
			Text:   "Use double precision.",
			Status: Accepted, Reason: noGPU,
		},
		{
			Name: "num_gpu", Type: Int, Default: "1", Bounds: []Bound{above(0)},
			Text:   "Devices to use.",
			Status: Accepted, Reason: noGPU,
		},
	}
}

// own declares the parameters that only Cloister has.
func own() []Parameter {
	return []Parameter{
		{
			Name: "unknown_parameters", Type: Enum, Default: "error", Origin: Cloister, Unsaved: true,
			Values: []Value{
				{Name: "error", Text: "stop, naming the nearest parameter that exists"},
				{Name: "warn", Text: "log it and go on, as LightGBM does"},
			},
			Text:   "What to do about a parameter that does not exist.",
			Status: Supported,
		},
		{
			Name: "memory_check", Type: Enum, Default: "error", Origin: Cloister, Unsaved: true,
			Values: []Value{
				{Name: "error", Text: "stop before the memory is taken"},
				{Name: "warn", Text: "log it and go on"},
			},
			Text:   "What to do about a training that will need more memory than there is.",
			Status: Supported,
		},
		{
			Name: "save_binary_filename", Type: String, Origin: Cloister, Unsaved: true,
			DefaultText: "data with .bin",
			Text:        "File that save_binary=true stores the binned training data in.",
			Status:      Supported,
		},
	}
}
