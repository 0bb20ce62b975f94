"""Classical baselines: scikit-learn and statsmodels estimators behind the interface of a network."""
