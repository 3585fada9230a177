-- SQLite gets statistics here; PostgreSQL gathers its own.

-- +goose Up
SELECT 1;

-- +goose Down
SELECT 1;
