"""Stage 1 of PhysioNet-2012: fills the gaps of the raw records, says how wrong that is, and writes what stage 2 reads.

python -m src.impute data=physionet2012 imputer=locf                      for src.train data=physionet2012
python -m src.impute imputer=[zero,mean,locf,linear] data.split_seed=1    one row and one file each
"""

import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.command import app
from src.config.keys import of_arguments
from src.config.schema import check_range, shown
from src.data.clinical import records
from src.errors import UserError
from src.runs import files


def impute(config: DictConfig) -> None:
    """Write one file for each imputer and prints its error on values that were hidden from it."""
    if "imputer" not in config.data:
        raise UserError("data: only physionet2012 has gaps to fill")
    names = list(config.imputer) if OmegaConf.is_list(config.imputer) else [config.imputer]
    imputers = of_arguments(OmegaConf.to_container(config))["data.imputer"]
    for name in names:
        check_range("imputer", name, imputers)
    if not names:
        raise UserError(f"imputer=[]: give at least one; imputer must be {imputers.says}")
    if config.output and len(names) != 1:
        raise UserError(
            f"output={config.output}: is one file, and imputer={shown(names)} asks for {len(names)}; leave it out"
        )
    for name in ("output", "report"):
        if config[name]:
            files.check(Path(config[name]), name)
    records.find(Path(config.data.folder), config.data.sets)
    from rich.console import Console
    from rich.table import Table

    from src.data.clinical import imputation

    for name in names:
        imputation.require(name)
    if set(names) & set(imputation.LEARNT):
        import torch

        torch.set_num_threads(config.threads)
    raw = records.read(Path(config.data.folder), config.data.sets)
    print(records.described(raw), *raw.notes, sep="\n")
    errors, table = [], Table("imputer", "MAE", "RMSE", "seconds", "file")
    options = {name: config.data[name] for name in ("split_seed", "test", "validation", "scaling")}
    options["fingerprint"] = records.fingerprint(Path(config.data.folder), config.data.sets)
    for name in names:
        begun = time.perf_counter()
        path = Path(config.output or records.default_pickle(name, config.data.split_seed, config.data.sets))
        training = {"epochs": config.epochs, "batch_size": config.batch_size} if name in imputation.LEARNT else {}
        content, (mae, rmse) = imputation.stage1(raw, {"imputer": name, **options}, **training)
        try:
            imputation.write(path, content)
        except OSError as error:
            raise UserError(f"output={path}: cannot be written ({error.strerror})") from error
        errors.append({"imputer": name, "mae": mae, "rmse": rmse})
        table.add_row(name, f"{mae:.4f}", f"{rmse:.4f}", f"{time.perf_counter() - begun:.1f}", str(path))
    print(f"error on {imputation.HIDDEN:.0%} of the observed validation values, hidden; in standard deviations of train:")
    Console().print(table)
    if config.report:
        import pandas as pd

        files.write(pd.DataFrame(errors).set_index("imputer").to_csv(), Path(config.report))


main = app(impute, "impute")

if __name__ == "__main__":
    main()
