"""Many runs: launched, resumed, searched, supervised and summarised."""
