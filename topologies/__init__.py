"""Labs: chassis with real Open vSwitch in network namespaces, for hands, tests and the demo."""
