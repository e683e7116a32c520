/** A key and a self-signed certificate for 127.0.0.1 and localhost, for tests alone: they guard nothing. Valid to 2126. */

export const TEST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmKtfcIgPCUAIJjFU
yZ8wXTL/yttKOI+R3l7Et0hMAS6hRANCAASbv9FtRZ8hnorfr9mahXPhyqVJbT/2
gIsCvzPfL/G7xug+E8KjoS+ted9j/jIxhjvLRkdZvyeqmzz0BRCkvr3g
-----END PRIVATE KEY-----`;

export const TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUKd6ig2LlsXn9XwZ+v7MDu+AwWYIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE5Mjg1M1oYDzIxMjYxMDI5
MTkyODUzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASbv9FtRZ8hnorfr9mahXPhyqVJbT/2gIsCvzPfL/G7xug+E8KjoS+t
ed9j/jIxhjvLRkdZvyeqmzz0BRCkvr3go28wbTAdBgNVHQ4EFgQUtGukeNr/VQJZ
xK6umAMqtyWrqrIwHwYDVR0jBBgwFoAUtGukeNr/VQJZxK6umAMqtyWrqrIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgOYE5wm0inugeUx5G5u1Mhdipyd/qewTuz5i1KmZcf5sCIBLr
IzWDFuSWRgflzaMg9FRG4R61/Tboy2HSFCNjPtVv
-----END CERTIFICATE-----`;
