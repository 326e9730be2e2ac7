-- What became of the proof of who calls (STIR/SHAKEN), as JSON.

alter table calls add column attestation text;
