"""Many runs: launched, resumed, searched and supervised."""
